"""Plan publishing: what each region has, and what is left to do. Needs read permissions only.

A layer counts as published if the region has a layer version with the same name and the same content hash, no
matter who uploaded it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from nodelayer.aws.account import Account, Region
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.aws.layers import PRIVATE, Access, LayerVersionSummary, Storage
from nodelayer.aws.quotas import DIRECT_UPLOAD
from nodelayer.errors import InvalidInputError, NodelayerError, NotVerifiedError, RefusedError
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Manifest, Published
from nodelayer.project_paths import PROGRAM, command
from nodelayer.publish.canary import CanaryOptions
from nodelayer.publish.layers.metadata import access_of, is_padding
from nodelayer.publish.layers.report import Failure
from nodelayer.util import parallel
from nodelayer.util.console import megabytes

AT_ONCE = 6
"""Layers of a region at once. With fewer, requests of 300 ms do not reach 15 a second, Lambda's quota."""
_FRESH_S = 3600
"""Seconds: a younger duplicate comes from a killed or a concurrent publisher, and is deleted."""
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}", re.ASCII)


@dataclass(frozen=True)
class PublishOptions:
    """The options of a run: access, the same number in all regions, SSM parameters, a canary before access.

    The metadata of a layer version is not here: it comes from its artifact.
    """

    access: Access = PRIVATE
    align: bool = False
    parameters: bool = False
    canary: CanaryOptions | None = None


@dataclass(frozen=True)
class Step:
    """What is left to do for one artifact in one region.

    `latest` is the highest layer version number of the layer there, `wanted_version` the number to reach
    (None: any), `missing_access` the permissions to add. `storage` is the code storage of the region, if it
    was asked.
    """

    region: str
    artifact: Artifact
    existing: LayerVersionSummary | None = None
    access: Access = PRIVATE
    recorded: bool = False
    duplicates: tuple[int, ...] = ()
    latest: int = 0
    storage: Storage | None = None
    wanted_version: int | None = None
    missing_access: Access = PRIVATE

    @property
    def publishes(self) -> bool:
        """Whether a layer version has to be published: the content or the wanted number is missing."""
        return self.existing is None or (
            self.wanted_version is not None and self.existing.version != self.wanted_version
        )

    @property
    def paddings(self) -> int:
        """The number of padding layer versions to publish."""
        return max(0, self.wanted_version - self.latest - 1) if self.publishes and self.wanted_version else 0

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.publishes or self.missing_access or self.duplicates or not self.recorded)

    @property
    def actions(self) -> str:
        """The actions of the step, for the table of the plan."""
        parts = [
            f"publish {self.paddings} padding versions" if self.paddings else "",
            "publish" if self.publishes else "",
            f"as number {self.wanted_version}" if self.publishes and self.wanted_version else "",
            f"delete the duplicate {', '.join(map(str, self.duplicates))}" if self.duplicates else "",
            f"permit {self.missing_access}" if self.missing_access else "",
            "record" if not self.recorded or self.publishes else "",
        ]
        return ", ".join(part for part in parts if part) or "nothing"

    def as_json(self) -> Mapping[str, object]:
        """Return the JSON object of the step."""
        return {
            "region": self.region,
            "layer_name": self.artifact.layer_name,
            "node_version": self.artifact.node_version,
            "architecture": self.artifact.architecture,
            "existing": self.existing.arn if self.existing else None,
            "publish": self.publishes,
            "number": self.wanted_version,
            "fillers": self.paddings,
            "permit": str(self.missing_access) if self.missing_access else None,
            "delete_double": list(self.duplicates),
            "record": not self.recorded or self.publishes,
            "adds_bytes": self.artifact.size * (self.paddings + self.publishes),
        }


@dataclass(frozen=True)
class Plan:
    """The steps by region and layer, the regions that failed, and the skipped ones with the reason.

    `pending` are the regions that have not answered yet.
    """

    steps: tuple[Step, ...]
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    pending: tuple[str, ...] = ()

    def join(self, other: "Plan") -> "Plan":
        """Return the plan together with that of the pending regions."""
        return Plan(
            (*self.steps, *other.steps),
            (*self.failures, *other.failures),
            {**self.skipped, **other.skipped},
            other.pending,
        )

    @property
    def idle(self) -> bool:
        """Whether no step has anything left to do."""
        return all(step.idle for step in self.steps)

    @property
    def regions(self) -> list[str]:
        """The regions that have steps."""
        return sorted({step.region for step in self.steps})

    def of(self, region: str) -> tuple[Step, ...]:
        """Return the steps of one region."""
        return tuple(step for step in self.steps if step.region == region)


def never_invoked(artifact: Artifact) -> NotVerifiedError:
    """Return the error for a layer that never answered an invocation, so it is not published."""
    return NotVerifiedError(
        f"{artifact.path.name} has never been invoked, so it may not work",
        todo=f"build it where {artifact.architecture} programs run and pip can install the emulator: "
        f"{command('build-layer', '--node', artifact.node_version, '--arch', artifact.architecture)}",
    )


def withdrawal(known: Manifest, artifact: Artifact) -> RefusedError | None:
    """Return the error for a layer whose content was withdrawn in a region; None for others."""
    for layer in known.layers:
        if (layer.layer_name, layer.code_sha256) != (artifact.layer_name, artifact.code_sha256):
            continue
        for published in layer.regions.values():
            if published.withdrawn:
                return RefusedError(
                    f"{artifact.layer_name} was withdrawn: {published.withdrawn.reason}",
                    todo="publish a layer that another version of nodelayer has built",
                )
    return None


def not_signed(artifact: Artifact) -> NotVerifiedError:
    """Return the error for a layer whose Node.js has no verified OpenPGP signature."""
    return NotVerifiedError(
        f"{artifact.path.name} contains a Node.js without a verified OpenPGP signature",
        where="--require-signature",
        todo=f"build it from nodejs.org: {PROGRAM} build-layer --node {artifact.node_version} "
        f"--arch {artifact.architecture} --source nodejs.org",
    )


def check_account(known: Manifest, account: Account) -> None:
    """Raise RefusedError if the manifest records layer versions of another account in the partition."""
    for layer in known.layers:
        for published in layer.regions.values():
            arn = LayerVersionArn.parse(published.arn)
            if arn.partition == account.partition.name and arn.account != account.id:
                raise RefusedError(
                    f"the manifest records {arn}, which is not in account {account.id}",
                    todo="use a profile of that account, or a manifest of this account (--manifest)",
                )


def survey_region(
    region: Region, artifacts: Sequence[Artifact], known: Manifest, *, align: bool
) -> list[Step]:
    """Return a step for each artifact.

    Raises:
        NodelayerError: The region cannot be asked, or its code storage is too small.
    """
    steps = []
    for _, step in parallel.each(
        artifacts, lambda artifact: _survey(region, artifact, known, align=align), AT_ONCE
    ):
        if isinstance(step, NodelayerError):
            raise step
        steps.append(step)
    storage = _check_storage(region, steps)
    if any(step.publishes for step in steps):
        region.layers.get_ready()
    return [replace(step, storage=storage) for step in steps]


def _survey(region: Region, artifact: Artifact, known: Manifest, *, align: bool) -> Step:
    name = artifact.layer_name
    recorded = _recorded(known, artifact, region.name)
    contents = _contents(known, name, region.name)
    listed = _listed(region, name, recorded)

    def is_same(each: LayerVersionSummary) -> bool:
        return contents.get(each.version) == artifact.code_sha256 and not is_padding(each)

    found = any(map(is_same, listed))
    for each in reversed(listed):
        # Once the content is found, only a young layer version can be a duplicate to delete.
        if each.version not in contents and not (found and _seconds_old(each) >= _FRESH_S):
            content = region.layers.content(name, each.version)
            contents[each.version] = content.code_sha256 if content else ""
            found = found or is_same(each)
    same = [each for each in listed if is_same(each)]
    accesses = {each.version: region.layers.access(name, each.version) for each in same}
    candidates = [each for each in same if _can_be_recorded(recorded, each)]
    existing = _choose(candidates, accesses, recorded, align=align)
    access = accesses[existing.version] if existing else PRIVATE
    duplicates = [
        each.version
        for each in same
        if each is not existing
        and not accesses[each.version]
        and not _was_recorded(known, each.arn)
        and _seconds_old(each) < _FRESH_S
    ]
    return Step(
        region=region.name,
        artifact=artifact,
        existing=existing,
        access=access,
        recorded=existing is not None
        and recorded is not None
        and (recorded.version, recorded.deleted) == (existing.version, None)
        and access_of(recorded) == access,
        duplicates=() if align or any(map(is_padding, listed)) else tuple(duplicates),
        latest=max([*contents, *(each.version for each in listed)], default=0),
    )


def _listed(region: Region, name: str, recorded: Published | None) -> list[LayerVersionSummary]:
    """Return the versions of a layer, also the recorded one if Lambda's list lags behind."""
    listed = region.layers.versions(name)
    if recorded is None or recorded.deleted or any(each.version == recorded.version for each in listed):
        return listed
    content = region.layers.content(name, recorded.version)
    if content is None:
        return listed
    found = LayerVersionSummary(content.version, content.arn, content.description, content.created)
    return sorted([*listed, found], key=lambda each: each.version)


def aligned(steps: Sequence[Step], known: Manifest) -> list[Step]:
    """Return the steps with the lowest version number that every region can reach as their target."""
    targets: dict[str, int] = {}
    for name in {step.artifact.layer_name for step in steps}:
        of_layer = [step for step in steps if step.artifact.layer_name == name]
        chosen = {step.region for step in of_layer}
        elsewhere = [
            published.version
            for layer in known.layers
            if layer.code_sha256 == of_layer[0].artifact.code_sha256 and layer.layer_name == name
            for region, published in layer.live()
            if region not in chosen
        ]
        target = max(
            [*elsewhere, *(step.existing.version if step.existing else step.latest + 1 for step in of_layer)]
        )
        while any(_number(step) != target and step.latest >= target for step in of_layer):
            target = max(
                step.latest + 1 for step in of_layer if _number(step) != target and step.latest >= target
            )
        targets[name] = target
    return [replace(step, wanted_version=targets[step.artifact.layer_name]) for step in steps]


def needs_bucket(artifact: Artifact) -> bool:
    """Tell whether the zip is too big for a direct upload."""
    return artifact.size > DIRECT_UPLOAD


def _check_storage(region: Region, steps: Sequence[Step]) -> Storage | None:
    adds = sum(step.artifact.size for step in steps if step.publishes)
    if not adds:
        return None
    storage = region.layers.storage()
    if storage is not None and storage.used + adds > storage.limit:
        raise RefusedError(
            f"not enough code storage: {megabytes(storage.used)} of {megabytes(storage.limit)} are used, "
            f"and this run would add {megabytes(adds)}",
            where=region.name,
            todo=f"delete old layer versions with {PROGRAM} prune, or ask AWS for a higher quota",
        )
    return storage


def _choose(
    same: Sequence[LayerVersionSummary],
    accesses: Mapping[int, Access],
    recorded: Published | None,
    *,
    align: bool,
) -> LayerVersionSummary | None:
    """Choose among layer versions of the same content: the recorded, else a shared, else the first one."""
    if align and same:
        return max(same, key=lambda each: each.version)
    for each in same:
        if recorded is not None and each.version == recorded.version:
            return each
    for each in same:
        if accesses[each.version]:
            return each
    return same[0] if same else None


def _can_be_recorded(recorded: Published | None, each: LayerVersionSummary) -> bool:
    """Tell whether an entry can name it: the number never decreases, and a deleted version stays deleted."""
    if recorded is None:
        return True
    return each.version > recorded.version - (recorded.deleted is None)


def with_permits(step: Step, wanted: Access) -> Step:
    """Return the step with the permissions that are missing."""
    return replace(step, missing_access=wanted - (PRIVATE if step.publishes else step.access))


def _number(step: Step) -> int | None:
    return step.existing.version if step.existing else None


def _seconds_old(each: LayerVersionSummary) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(each.created)).total_seconds()


def _recorded(known: Manifest, artifact: Artifact, region: str) -> Published | None:
    key = (artifact.node_version, artifact.architecture, artifact.nodelayer_version, artifact.code_sha256)
    return next((layer.regions.get(region) for layer in known.layers if layer.key == key), None)


def _was_recorded(known: Manifest, arn: str) -> bool:
    return any(published.arn == arn for layer in known.layers for published in layer.regions.values())


def _contents(known: Manifest, name: str, region: str) -> dict[int, str]:
    """Return the content hash of each recorded layer version; Lambda never changes it."""
    return {
        layer.regions[region].version: layer.code_sha256
        for layer in known.layers
        if layer.layer_name == name and region in layer.regions
    }


def check_access(*, public: bool, organization: str = "", accounts: str = "") -> Access:
    """Return the access that the flags ask for.

    Raises:
        InvalidInputError: The flags contradict each other, or the ID is not valid.
    """
    for flag, value in (("--organization-id", organization), ("--account-id", accounts)):
        if public and value:
            raise InvalidInputError(
                f"--public and {flag} are mutually exclusive", todo="use one: public includes everyone"
            )
    words = accounts.replace(",", " ").split()
    for word in words:
        if not _ACCOUNT.fullmatch(word):
            raise InvalidInputError(
                f"{word!r} is not the ID of an account", where="--account-id", todo="write its 12 digits"
            )
    if organization and not _ORGANIZATION.fullmatch(organization):
        raise InvalidInputError(
            f"{organization!r} is not the ID of an organization",
            where="--organization-id",
            todo="write it as o-a1b2c3d4e5",
        )
    return Access(public, frozenset({organization} if organization else ()), frozenset(words))


def rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    """Return the plan as a table, with a header row."""
    table = [
        (
            step.region,
            step.artifact.layer_name,
            f"{step.existing.version}, {step.access}" if step.existing else "-",
            step.actions,
        )
        for step in plan.steps
    ]
    table += [(failure.region, "", "", "fails") for failure in plan.failures]
    table += [(region, "", "", f"skipped: {why}") for region, why in plan.skipped.items()]
    return [("region", "layer", "published", "to do"), *sorted(table)]


def summary(plan: Plan, account: str, partition: str) -> str:
    """Return the plan in one line."""
    publishing = [step for step in plan.steps if step.publishes]
    paddings = sum(step.paddings for step in plan.steps)
    adds = sum(step.artifact.size * (1 + step.paddings) for step in publishing)
    parts = [
        f"{len(publishing)} layer versions to publish",
        f"{paddings} padding versions to publish" if paddings else "",
        f"{sum(1 for step in plan.steps if step.missing_access)} to grant access to"
        if any(step.missing_access for step in plan.steps)
        else "",
        f"{sum(1 for step in plan.steps if step.idle)} need no change",
        f"{megabytes(adds)} of code storage{_fullest(plan)}" if adds else "",
        f"{len(plan.skipped)} regions skipped" if plan.skipped else "",
        f"{len(plan.failures)} regions fail" if plan.failures else "",
    ]
    named = f"Account {account}, partition {partition}, {len(plan.regions)} regions"
    return f"{named}: {', '.join(part for part in parts if part)}"


def _fullest(plan: Plan) -> str:
    """Return the use of code storage in the region that has least left."""
    asked = [(step.storage, step.region) for step in plan.steps if step.storage]
    if not asked:
        return ""
    storage, region = min(asked, key=lambda each: (each[0].limit - each[0].used, each[1]))
    return f" ({region} uses {storage.used / 1e9:.1f} of {storage.limit / 1e9:.1f} GB)"


def as_json(plan: Plan, account: str, partition: str) -> Mapping[str, object]:
    """Return the plan as a JSON object."""
    return {
        "account": account,
        "partition": partition,
        "steps": [step.as_json() for step in plan.steps],
        "skipped": dict(plan.skipped),
        "failures": [failure.as_json() for failure in plan.failures],
    }
