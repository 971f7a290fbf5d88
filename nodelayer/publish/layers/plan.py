"""What is there, and so what is left to do: the plan of publishing, which needs read rights only.

The unit of truth is (layer name, CodeSha256, region): what is there already is taken as it is, whoever put it
there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from nodelayer.aws.account import PRIVATE, Access, Account, LayerVersionSummary, Region
from nodelayer.aws.arn import LayerVersionArn
from nodelayer.aws.quotas import DIRECT_UPLOAD
from nodelayer.errors import InvalidInputError, NodelayerError, RefusedError
from nodelayer.layer.artifact import PADDING, Artifact
from nodelayer.manifest.model import Manifest, Published
from nodelayer.util import parallel as fanout
from nodelayer.util.console import megabytes

_FRESH_S = 3600
"""How young a double has to be to be taken for what a killed or a second publisher left, and be deleted."""
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}", re.ASCII)


@dataclass(frozen=True)
class PublishOptions:
    """What is wanted of every region. `staging`: a bucket name, which may hold {region} and {account}."""

    access: Access = PRIVATE
    align: bool = False
    parameters: bool = False
    staging: str | None = None
    parallel: int = fanout.PARALLEL
    reader: Callable[[str], Region] | None = None


@dataclass(frozen=True)
class Step:
    """What is there of one artifact in one region, and so what is left to do.

    `latest` is the highest number seen there. `target` is the number wanted, None where any will do.
    """

    region: str
    artifact: Artifact
    existing: LayerVersionSummary | None = None
    access: Access = PRIVATE
    recorded: bool = False
    duplicates: tuple[int, ...] = ()
    latest: int = 0
    target: int | None = None
    permit: Access = PRIVATE

    @property
    def publishes(self) -> bool:
        """Whether the content has to be published, for itself or for its number."""
        return self.existing is None or (self.target is not None and self.existing.version != self.target)

    @property
    def paddings(self) -> int:
        """How many layer versions are published for their number only."""
        return max(0, self.target - self.latest - 1) if self.publishes and self.target else 0

    @property
    def idle(self) -> bool:
        return not (self.publishes or self.permit or self.duplicates or not self.recorded)

    @property
    def words(self) -> str:
        """What will be done, as the plan's table says it."""
        parts = [
            f"publish {self.paddings} to fill the numbering" if self.paddings else "",
            "publish" if self.publishes else "",
            f"as number {self.target}" if self.publishes and self.target else "",
            f"delete the double {', '.join(map(str, self.duplicates))}" if self.duplicates else "",
            f"permit {self.permit}" if self.permit else "",
            "record" if not self.recorded or self.publishes else "",
        ]
        return ", ".join(part for part in parts if part) or "nothing"

    def as_json(self) -> Mapping[str, object]:
        return {
            "region": self.region,
            "layer_name": self.artifact.metadata.name,
            "node_version": self.artifact.node_version,
            "architecture": self.artifact.architecture,
            "existing": self.existing.arn if self.existing else None,
            "publish": self.publishes,
            "number": self.target,
            "fillers": self.paddings,
            "permit": str(self.permit) if self.permit else None,
            "delete_double": list(self.duplicates),
            "record": not self.recorded or self.publishes,
            "adds_bytes": self.artifact.size * (self.paddings + self.publishes),
        }


@dataclass(frozen=True)
class Failure:
    """What went wrong in a region; `layer` is empty where it stopped all of them."""

    region: str
    layer: str
    error: NodelayerError

    def as_json(self) -> Mapping[str, object]:
        return {"region": self.region, "layer": self.layer, "error": str(self.error), "code": self.error.code}


@dataclass(frozen=True)
class Plan:
    """Steps by region and layer, what could not be surveyed, and what was left out."""

    steps: tuple[Step, ...]
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        return all(step.idle for step in self.steps)

    def of(self, region: str) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.region == region)


def check_account(known: Manifest, account: Account) -> None:
    """Raises RefusedError where the manifest records layer versions of another account of the partition.

    What this account has under their names and numbers is something else, or nothing.
    """
    for layer in known.layers:
        for published in layer.regions.values():
            arn = LayerVersionArn.parse(published.arn)
            if arn.partition == account.partition.name and arn.account != account.id:
                raise RefusedError(
                    f"the manifest records {arn}, of another account than {account.id}",
                    todo="use the other profile, or name this account's manifest with --manifest",
                )


def survey_region(
    region: Region, artifacts: Sequence[Artifact], known: Manifest, options: PublishOptions
) -> list[Step]:
    """What is there of each artifact. Raises NodelayerError where the region cannot be asked, or is full."""
    steps = []
    for artifact in artifacts:
        recorded = _recorded(known, artifact, region.name)
        contents = _contents(known, artifact.metadata.name, region.name)
        listed = region.versions(artifact.metadata.name)
        same = []
        for each in listed:
            if each.version not in contents:
                content = region.content(artifact.metadata.name, each.version)
                contents[each.version] = content.code_sha256 if content else ""
            if contents[each.version] == artifact.code_sha256 and not is_padding(each):
                same.append(each)
        accesses = {each.version: region.access(artifact.metadata.name, each.version) for each in same}
        existing = _chosen(
            [each for each in same if _goes_on(recorded, each)], accesses, recorded, align=options.align
        )
        duplicates = tuple(
            each.version
            for each in same
            if each is not existing
            and not options.align
            and not any(is_padding(other) for other in listed)
            and not accesses[each.version]
            and not _was_recorded(known, each.arn)
            and _seconds_old(each) < _FRESH_S
        )
        access = accesses[existing.version] if existing else PRIVATE
        steps.append(
            Step(
                region=region.name,
                artifact=artifact,
                existing=existing,
                access=access,
                recorded=existing is not None
                and recorded is not None
                and (recorded.version, recorded.deleted) == (existing.version, None)
                and Access(recorded.public, frozenset(recorded.organizations)) == access,
                duplicates=duplicates,
                latest=max([*contents, *(each.version for each in listed)], default=0),
            )
        )
    _check_storage(region, steps)
    return steps


def aligned(steps: Sequence[Step], known: Manifest) -> list[Step]:
    """The steps, with the number each layer is to have everywhere: the lowest that every region can reach."""
    targets: dict[str, int] = {}
    for name in {step.artifact.metadata.name for step in steps}:
        mine = [step for step in steps if step.artifact.metadata.name == name]
        chosen = {step.region for step in mine}
        elsewhere = [
            published.version
            for layer in known.layers
            if layer.code_sha256 == mine[0].artifact.code_sha256 and layer.layer_name == name
            for region, published in layer.live()
            if region not in chosen
        ]
        target = max(
            [*elsewhere, *(step.existing.version if step.existing else step.latest + 1 for step in mine)]
        )
        while any(_number(step) != target and step.latest >= target for step in mine):
            target = max(
                step.latest + 1 for step in mine if _number(step) != target and step.latest >= target
            )
        targets[name] = target
    return [replace(step, target=targets[step.artifact.metadata.name]) for step in steps]


def staged(artifact: Artifact, options: PublishOptions) -> bool:
    """Whether the zip goes through a bucket."""
    return options.staging is not None or artifact.size > DIRECT_UPLOAD


def _check_storage(region: Region, steps: Sequence[Step]) -> None:
    adds = sum(step.artifact.size for step in steps if step.publishes)
    if not adds:
        return
    storage = region.storage()
    if storage is not None and storage.used + adds > storage.limit:
        raise RefusedError(
            f"no room: {megabytes(storage.used)} of {megabytes(storage.limit)} code storage are used, "
            f"and {megabytes(adds)} would come",
            where=region.name,
            todo="`invoke prune`, or ask AWS for a higher quota",
        )


def _chosen(
    same: Sequence[LayerVersionSummary],
    accesses: Mapping[int, Access],
    recorded: Published | None,
    *,
    align: bool,
) -> LayerVersionSummary | None:
    """Of the same content: the recorded one, else one that others may use, else the lowest number."""
    if align and same:
        return max(same, key=lambda each: each.version)
    for each in same:
        if recorded is not None and each.version == recorded.version:
            return each
    for each in same:
        if accesses[each.version]:
            return each
    return same[0] if same else None


def _goes_on(recorded: Published | None, each: LayerVersionSummary) -> bool:
    """Whether the manifest can record it: an entry's number never goes down, a deleted one stays deleted."""
    if recorded is None:
        return True
    return each.version > recorded.version - (recorded.deleted is None)


def with_permits(step: Step, wanted: Access) -> Step:
    return replace(step, permit=wanted - (PRIVATE if step.publishes else step.access))


def _number(step: Step) -> int | None:
    return step.existing.version if step.existing else None


def _seconds_old(each: LayerVersionSummary) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(each.created)).total_seconds()


def is_padding(each: LayerVersionSummary) -> bool:
    return each.description.endswith(PADDING)


def _recorded(known: Manifest, artifact: Artifact, region: str) -> Published | None:
    key = (artifact.node_version, artifact.architecture, artifact.nodelayer_version, artifact.code_sha256)
    return next((layer.regions.get(region) for layer in known.layers if layer.key == key), None)


def _was_recorded(known: Manifest, arn: str) -> bool:
    return any(published.arn == arn for layer in known.layers for published in layer.regions.values())


def _contents(known: Manifest, name: str, region: str) -> dict[int, str]:
    """What the manifest knows of the content of layer versions there; numbers never get another content."""
    return {
        layer.regions[region].version: layer.code_sha256
        for layer in known.layers
        if layer.layer_name == name and region in layer.regions
    }


def check_access(*, public: bool, organization: str) -> Access:
    """The access that flags ask for. Raises InvalidInputError."""
    if public and organization:
        raise InvalidInputError(
            "--public and --organization-id together say two things", todo="use one: public includes everyone"
        )
    if organization and not _ORGANIZATION.fullmatch(organization):
        raise InvalidInputError(
            f"{organization!r} is no organization",
            where="--organization-id",
            todo="it looks like o-a1b2c3d4e5",
        )
    return Access(public, frozenset({organization} if organization else ()))


def check_staging(bucket: str) -> str | None:
    """The bucket that a flag names, None where it names none. Raises InvalidInputError."""
    try:
        bucket.format(region="", account="")
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise InvalidInputError(
            f"{bucket!r} is no name of a bucket",
            where="--staging-bucket",
            todo="only {region} and {account} are filled in",
        ) from error
    return bucket or None


def rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    """The plan as a table with its head: region, layer, what is there, what will be done."""
    table = [
        (
            step.region,
            step.artifact.metadata.name,
            f"{step.existing.version}, {step.access}" if step.existing else "-",
            step.words,
        )
        for step in plan.steps
    ]
    table += [(failure.region, "", "", "fails: see below") for failure in plan.failures]
    table += [(region, "", "", f"skipped: {why}") for region, why in plan.skipped.items()]
    return [("region", "layer", "there", "will do"), *sorted(table)]


def summary(plan: Plan, account: str, partition: str) -> str:
    """The plan in one line."""
    regions = {step.region for step in plan.steps}
    publishing = [step for step in plan.steps if step.publishes]
    paddings = sum(step.paddings for step in plan.steps)
    adds = sum(step.artifact.size * (1 + step.paddings) for step in publishing)
    parts = [
        f"{len(publishing)} layer versions to publish",
        f"{paddings} more to fill the numbering" if paddings else "",
        f"{sum(1 for step in plan.steps if step.permit)} to permit"
        if any(step.permit for step in plan.steps)
        else "",
        f"{sum(1 for step in plan.steps if step.idle)} as they should be",
        f"{megabytes(adds)} of code storage in all" if adds else "",
        f"{len(plan.skipped)} regions skipped" if plan.skipped else "",
        f"{len(plan.failures)} regions fail" if plan.failures else "",
    ]
    named = f"Account {account}, partition {partition}, {len(regions)} regions"
    return f"{named}: {', '.join(part for part in parts if part)}"


def as_json(plan: Plan, account: str, partition: str) -> Mapping[str, object]:
    """The plan for a program."""
    return {
        "account": account,
        "partition": partition,
        "steps": [step.as_json() for step in plan.steps],
        "skipped": dict(plan.skipped),
        "failures": [failure.as_json() for failure in plan.failures],
    }
