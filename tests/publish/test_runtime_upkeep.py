"""rollback-runtime, verify-runtimes, prune-runtimes, restore-runtime and sharing, on a stand-in server."""

import json
import os
import signal
import threading
import time
from functools import cache, partial

import botocore.session
import pytest
from msgspec.structs import replace
from publish.emulators import ACCOUNT
from publish.lambda_core import LambdaCore
from support import Outcome

from nodelayer.aws import managed_runtimes
from nodelayer.aws.account import open_account
from nodelayer.aws.layers import Access
from nodelayer.cli.program import NodelayerProgram, installed
from nodelayer.errors import InvalidInputError, NodelayerError, RefusedError, UnreachableError
from nodelayer.manifest import store
from nodelayer.manifest.model import Manifest, RuntimeVersion
from nodelayer.publish.runtimes import sharing
from nodelayer.publish.runtimes.lifecycle import lifecycle_of

TWO = ("eu-west-1", "us-east-1")
NAME = "nodejs-24"
OLD, NEW = "24.1.0_1.0.0", "24.2.0_1.0.0"
GA = {"ReleaseState": "GA", "DeprecationDate": "2028-04-30"}


class Runtimes:
    """A manifest in a folder, and the server that has what it records."""

    def __init__(self, folder, core, capsys):
        self.core = core
        self.path = folder / "layers.json"
        self._capsys = capsys

    def run(self, *words):
        """Run a command in this process."""
        self._capsys.readouterr()
        code = 0
        before = signal.getsignal(signal.SIGTERM)
        try:
            NodelayerProgram(name="invoke", namespace=installed()).run(["invoke", *words])
        except SystemExit as end:
            code = end.code
        finally:
            signal.signal(signal.SIGTERM, before)
        return Outcome(code, *self._capsys.readouterr())

    def publish(self, region, *versions, name=NAME, **aliases):
        """Create a runtime with versions and aliases, and record the versions."""
        home = self.core.home(region)["runtimes"]
        if name not in home:
            self.core.do("CreateRuntime", region, Name=name, ReleaseLifecycle=GA)
        recorded = {}
        for version in versions:
            node, _, nodelayer = version.rpartition("_")
            uri = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/nodelayer/{name}:{version}"
            made = self.core.do("CreateRuntimeVersion", region, RuntimeName=name, Name=version, ImageUri=uri)
            recorded[made["Arn"]] = RuntimeVersion(
                node_version=node,
                nodelayer_version=nodelayer,
                architectures=["arm64", "x86_64"],
                image=made["ResolvedUri"],
                published=made["Created"][:19] + "Z",
            )
            if version not in self.core.settings.failing:
                aliases.setdefault(node, version)
        for alias, version in aliases.items():
            values = {"RuntimeName": name, "Name": alias, "RuntimeVersion": version, "ReleaseLifecycle": GA}
            verb = "Update" if alias in home[name]["aliases"] else "Create"
            self.core.do(f"{verb}RuntimeAlias", region, **values)
        store.update(self.path, lambda known: known.merge(Manifest(runtimes=recorded)))

    def aliases(self, region, name=NAME):
        return self.core.runtime(region, name)[1]

    def moving(self, region):
        """What the aliases that move name: `latest` and `previous`."""
        found = self.aliases(region)
        return found["latest"], found["previous"]

    def states(self, region, name=NAME):
        return self.core.runtime(region, name)[0]

    def region(self, name="eu-west-1"):
        return open_account(profile=None, wanted=(name,)).region(name).runtimes

    def deleted(self):
        """The names of the versions that the manifest has as deleted, with their region."""
        known = store.read(self.path)
        return {
            arn.split(":")[3] + " " + arn.split("/")[-1]
            for arn, each in known.runtimes.items()
            if not each.live
        }


@pytest.fixture(scope="module", autouse=True)
def _models_are_loaded_once():
    """Let the sessions of boto3 share the models that they load, which takes most of a command's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture
def runtimes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with LambdaCore() as core:
        for name, value in core.environ().items():
            if name.startswith(("AWS_", "NO_PROXY", "no_proxy")):
                monkeypatch.setenv(name, value)
        yield Runtimes(tmp_path, core, capsys)


@pytest.fixture
def two(runtimes):
    """Two versions in two regions: `latest` names the new one, `previous` the old one."""
    for region in TWO:
        runtimes.publish(region, OLD, NEW, latest=NEW, previous=OLD)
    return runtimes


# ---- rollback-runtime


def test_rollback_points_latest_to_previous_once_and_undo_points_it_back(two):
    planned = two.run("rollback-runtime", "--node", "24", "--dry-run")
    assert (
        planned.out.splitlines()[0]
        == f"eu-west-1  nodejs-24  latest: {NEW} -> {OLD}; previous: {OLD} -> {NEW}"
    )
    assert two.aliases("eu-west-1")["latest"] == NEW
    two.core.settings.updating_s = 0.3
    done = two.run("rollback-runtime", "--node", "24.1.0")
    assert (done.code, "2 runtimes rolled back, 0 needed no change" in done.err) == (0, True)
    for region in TWO:
        assert {name: two.aliases(region)[name] for name in ("latest", "previous")} == {
            "latest": OLD,
            "previous": NEW,
        }
    stored = two.core.home("eu-west-1")["runtimes"][NAME]["aliases"]["latest"]
    assert stored["ReleaseLifecycle"] == GA  # an update without it would have removed it
    assert stored["Description"] == f"Node.js 24.1.0, built by nodelayer 1.0.0; rolled back from {NEW}"
    again = two.run("rollback-runtime", "--runtime", NAME, "--json")
    assert (again.code, two.aliases("eu-west-1")["latest"]) == (0, OLD)
    assert f"already rolled back from {NEW} to {OLD}" in json.loads(again.out)[0]["why"]
    assert two.run("rollback-runtime", "--node", "24", "--undo").code == 0
    assert {name: two.aliases("us-east-1")[name] for name in ("latest", "previous")} == {
        "latest": NEW,
        "previous": OLD,
    }
    assert "was not rolled back" in two.run("rollback-runtime", "--node", "24", "--undo").out


def test_interrupted_rollback_is_completed_by_the_next_one(two):
    two.core.fail("UpdateRuntimeAlias", "eu-west-1", "AccessDeniedException", skip=1, times=None)
    stopped = two.run("rollback-runtime", "--node", "24")
    assert stopped.code == 9
    assert "eu-west-1: not allowed: lambda:UpdateRuntimeAlias" in stopped.err
    assert "rollback-runtime --node 24 --regions eu-west-1" in stopped.err
    assert two.aliases("us-east-1")["latest"] == OLD
    assert two.moving("eu-west-1") == (OLD, OLD)
    two.core.clear()
    assert two.run("rollback-runtime", "--node", "24").code == 0
    for region in TWO:
        assert {name: two.aliases(region)[name] for name in ("latest", "previous")} == {
            "latest": OLD,
            "previous": NEW,
        }


@pytest.mark.parametrize("error", ["lost answer", "ServiceException"])
def test_rollback_survives_a_lost_answer(two, error):
    two.core.fail("UpdateRuntimeAlias", "eu-west-1", error)
    assert two.run("rollback-runtime", "--node", "24").code == 0
    assert two.aliases("eu-west-1")["latest"] == OLD


def test_rollback_waits_as_long_as_lambda_says(two):
    two.core.fail("UpdateRuntimeAlias", "eu-west-1", "TooManyRequestsException", Retry_After=1)
    began = time.monotonic()
    assert two.run("rollback-runtime", "--node", "24").code == 0
    assert time.monotonic() - began >= 1
    assert two.core.count()["UpdateRuntimeAlias", "eu-west-1"] == 3


@pytest.mark.parametrize("error", ["UnknownOperationException", "AccessDeniedException"])
def test_region_without_the_api_is_one_line_and_the_others_go_on(two, error):
    two.core.settings.regions |= {"eu-west-3": "ENABLED"}
    two.core.without_api("eu-west-3", error)
    done = two.run("rollback-runtime", "--node", "24")
    assert (done.code, two.aliases("eu-west-1")["latest"]) == (0, OLD)
    assert "eu-west-3 skipped: Lambda has no customer-managed runtimes there yet" in done.err
    named = two.run("rollback-runtime", "--node", "24", "--regions", "us-east-1,eu-west-3")
    assert named.code == 9
    assert "eu-west-3: Lambda has no customer-managed runtimes here yet" in named.err


def test_no_endpoint_at_all_is_one_failure_for_each_region(two, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA_CORE", "http://127.0.0.1:9")
    monkeypatch.setattr("nodelayer.aws.account.TRIES", 1)
    outcome = two.run("rollback-runtime", "--node", "24")
    assert outcome.code == 4
    assert [line.partition(":")[0] for line in sorted(outcome.lines)[1:]] == list(TWO)


def test_one_runtime_that_cannot_be_rolled_back_does_not_stop_another_one(two):
    two.publish("eu-west-1", "22.1.0_1.0.0", name="nodejs-22", latest="22.1.0_1.0.0")
    outcome = two.run("rollback-runtime", "--node", "22,24", "--regions", "eu-west-1")
    assert outcome.code == 3
    assert "the runtime has no alias previous [eu-west-1 nodejs-22]" in outcome.err
    assert two.aliases("eu-west-1")["latest"] == OLD


def test_rollback_refuses_a_version_that_is_scheduled_for_deletion(two):
    two.core.home("eu-west-1")["runtimes"][NAME]["versions"][OLD]["PendingDeletionAt"] = (
        "2099-01-01T00:00:00Z"
    )
    outcome = two.run("rollback-runtime", "--node", "24", "--regions", "eu-west-1")
    assert outcome.code == 9
    assert f"latest cannot point to {OLD}, which is PENDING_DELETION" in outcome.err
    assert f"restore-runtime --runtime nodejs-24 --version {OLD} --regions eu-west-1" in outcome.err
    assert two.aliases("eu-west-1")["latest"] == NEW


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "--node or --runtime is required"),
        (("--node", "24", "--runtime", NAME), 2, "--node and --runtime are mutually exclusive"),
        (("--runtime", "Node!"), 2, "'Node!' is not the name of a runtime"),
        (("--node", "24.99"), 3, "no Node.js release matches 24.99"),
        (("--node", "20"), 3, "the account has no runtime nodejs-20 in these regions"),
    ],
)
def test_rollback_refuses_invalid_flags_and_unknown_runtimes(runtimes, words, code, message):
    outcome = runtimes.run("rollback-runtime", *words)
    assert (outcome.code, len(outcome.lines), message in outcome.err) == (code, 1, True), outcome.err


# ---- verify-runtimes


def test_verify_runtimes_finds_what_differs(two):
    assert two.run("verify-runtimes").code == 0
    do = partial(two.core.do, region="eu-west-1", RuntimeName=NAME)
    state = two.core.home("eu-west-1")["runtimes"][NAME]
    do("UpdateRuntimeAlias", Name="latest", RuntimeVersion=NEW)  # without its lifecycle
    state["ReleaseLifecycle"] = None  # or `latest` would inherit it
    for alias in ("previous", "24.1.0"):
        do("DeleteRuntimeAlias", Name=alias)
    do("DeleteRuntimeVersion", Name=OLD)
    state["versions"][NEW]["ResolvedUri"] = f"x@sha256:{'0' * 64}"
    del two.core.home("us-east-1")["runtimes"][NAME]["versions"][OLD]
    outcome = two.run("verify-runtimes", "--json")
    assert outcome.code == 5
    found = {
        (each["region"], each["arn"].partition(f"{NAME}/")[2]): each["kind"]
        for each in json.loads(outcome.out)
    }
    assert found["us-east-1", f"version/{OLD}"] == "missing: it was deleted, or never published"
    assert found["eu-west-1", f"version/{OLD}"].startswith("scheduled for deletion at ")
    assert found["eu-west-1", "alias/24.1.0"].startswith("scheduled for deletion at ")
    assert found["eu-west-1", f"version/{NEW}"].startswith(f"changed: its image is sha256:{'0' * 64}")
    told = "its release lifecycle is missing, not GA 2028-04-30; run publish-runtime"
    assert found["eu-west-1", "alias/latest"] == told
    assert len(found) == 5
    assert "4 runtime versions in 2 regions compared, 5 problems" in outcome.err


def test_verify_runtimes_goes_on_if_one_region_refuses(two):
    two.core.fail("GetRuntimeVersion", "eu-west-1", "AccessDeniedException", times=None)
    outcome = two.run("verify-runtimes")
    assert outcome.code == 9
    assert "eu-west-1: not allowed: lambda:GetRuntimeVersion" in outcome.err
    assert "2 runtime versions in 1 regions compared, 0 problems" in outcome.err


def test_verify_runtimes_refuses_the_manifest_of_another_account(two, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "210987654321")
    outcome = two.run("verify-runtimes")
    assert (outcome.code, len(outcome.lines)) == (9, 1)
    assert "which is not in account 210987654321" in outcome.err


# ---- prune-runtimes and restore-runtime


@pytest.fixture
def rebuilt(two):
    """Two newer builds of 24.1.0 in one region; its alias names the newest."""
    two.core.settings.failing = {"24.1.0_1.3.0"}
    two.publish("eu-west-1", "24.1.0_1.1.0", "24.1.0_1.2.0", "24.1.0_1.3.0", **{"24.1.0": "24.1.0_1.2.0"})
    return two


def test_prune_runtimes_never_deletes_what_an_alias_names(rebuilt):
    planned = rebuilt.run("prune-runtimes", "--keep", "1", "--dry-run")
    assert planned.out.splitlines() == [
        "eu-west-1  nodejs-24  24.1.0_1.3.0  delete",
        f"eu-west-1  nodejs-24  {OLD}  the alias previous names it",
        "eu-west-1  nodejs-24  24.1.0_1.1.0  delete",
        "eu-west-1  nodejs-24  24.1.0_1.2.0  the alias 24.1.0 names it",
        f"us-east-1  nodejs-24  {OLD}  the alias 24.1.0, previous names it",
    ]
    asked = rebuilt.run("prune-runtimes", "--keep", "1")
    assert (asked.code, "Delete 2 runtime versions? [no terminal]" in asked.err) == (2, True)
    assert set(rebuilt.states("eu-west-1").values()) == {"ACTIVE", "FAILED"}
    done = rebuilt.run("prune-runtimes", "--keep", "1", "--yes", "--recovery-window-days", "9")
    assert done.code == 0, done.err
    states = rebuilt.states("eu-west-1")
    assert {name for name, state in states.items() if state == "PENDING_DELETION"} == {
        "24.1.0_1.1.0",
        "24.1.0_1.3.0",
    }
    windows = [
        call.members["RecoveryWindowInDays"] for call in rebuilt.core.calls if "Delete" in call.operation
    ]
    assert windows == [9, 9]
    assert rebuilt.deleted() == {"eu-west-1 24.1.0_1.1.0", "eu-west-1 24.1.0_1.3.0"}
    assert rebuilt.run("verify-runtimes").code == 0
    again = rebuilt.run("prune-runtimes", "--keep", "1")
    assert (again.code, "Nothing to delete" in again.err) == (0, True)


def test_prune_runtimes_keeps_a_version_that_got_an_alias_meanwhile(rebuilt):
    rebuilt.core.fail("ListRuntimeAliases", "eu-west-1", skip=1, delay=1.0)
    move = {"RuntimeName": NAME, "Name": "24.1.0", "RuntimeVersion": "24.1.0_1.1.0"}

    def point():
        while not any(call.operation == "ListRuntimeAliases" for call in rebuilt.core.calls):
            time.sleep(0.01)
        rebuilt.core.do("UpdateRuntimeAlias", "eu-west-1", **move)

    thread = threading.Thread(target=point)
    thread.start()
    done = rebuilt.run("prune-runtimes", "--keep", "1", "--yes", "--regions", "eu-west-1")
    thread.join()
    assert done.code == 9
    assert "the alias 24.1.0 names it since it was planned to be deleted" in done.err
    assert rebuilt.states("eu-west-1")["24.1.0_1.1.0"] == "ACTIVE"


def test_prune_runtimes_goes_on_if_one_deletion_fails_and_marks_what_is_gone(rebuilt):
    rebuilt.core.fail("DeleteRuntimeVersion", "eu-west-1", "lost answer")
    rebuilt.core.fail("DeleteRuntimeVersion", "eu-west-1", "ResourceConflictException", skip=1)
    done = rebuilt.run("prune-runtimes", "--keep", "1", "--yes")
    assert (done.code, rebuilt.deleted()) == (4, {"eu-west-1 24.1.0_1.3.0"}), done.err
    assert "prune-runtimes --keep 1 --yes --regions eu-west-1" in done.err
    rebuilt.core.client("lambda-core", "eu-west-1").delete_runtime_version(
        RuntimeName=NAME, Name="24.1.0_1.1.0"
    )
    planned = rebuilt.run("prune-runtimes", "--keep", "1", "--dry-run")
    assert "24.1.0_1.1.0  already deleted, will be marked" in planned.out
    assert rebuilt.run("prune-runtimes", "--keep", "1").code == 0
    assert rebuilt.deleted() == {"eu-west-1 24.1.0_1.3.0", "eu-west-1 24.1.0_1.1.0"}


def test_restore_runtime_brings_back_what_prune_deleted(rebuilt):
    assert rebuilt.run("prune-runtimes", "--keep", "1", "--yes").code == 0
    one = rebuilt.run(
        "restore-runtime", "--runtime", NAME, "--version", "24.1.0_1.1.0", "--regions", "eu-west-1"
    )
    assert (one.code, rebuilt.states("eu-west-1")["24.1.0_1.1.0"]) == (0, "ACTIVE"), one.err
    assert rebuilt.deleted() == {"eu-west-1 24.1.0_1.3.0"}
    do = partial(rebuilt.core.do, region="us-east-1", RuntimeName=NAME)
    for alias in ("latest", "previous", "24.1.0", "24.2.0"):
        do("DeleteRuntimeAlias", Name=alias)
    for version in (OLD, NEW):
        do("DeleteRuntimeVersion", Name=version)
    do("DeleteRuntime")
    planned = rebuilt.run("restore-runtime", "--node", "24", "--regions", "us-east-1", "--dry-run")
    assert [line.split("  ")[2] for line in planned.out.splitlines()][:2] == ["runtime", f"version {OLD}"]
    assert rebuilt.run("restore-runtime", "--node", "24", "--regions", "us-east-1").code == 0
    assert rebuilt.aliases("us-east-1")["latest"] == NEW
    assert set(rebuilt.states("us-east-1").values()) == {"ACTIVE"}
    nothing = rebuilt.run("restore-runtime", "--node", "24", "--regions", "us-east-1")
    assert (nothing.code, "Nothing to restore" in nothing.err) == (0, True)


def test_restore_runtime_says_that_a_deletion_is_over(rebuilt):
    assert rebuilt.run("prune-runtimes", "--keep", "1", "--yes", "--recovery-window-days", "7").code == 0
    rebuilt.core.pass_days(8)
    outcome = rebuilt.run(
        "restore-runtime", "--runtime", NAME, "--version", "24.1.0_1.1.0", "--regions", "eu-west-1"
    )
    assert outcome.code == 3
    assert (
        "the runtime has no version 24.1.0_1.1.0 [eu-west-1 nodejs-24]: it was deleted for good"
        in outcome.err
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prune-runtimes",), "--keep is missing or less than 1"),
        (("prune-runtimes", "--keep", "2", "--recovery-window-days", "6"), "6 days are too few"),
        (("prune-runtimes", "--keep", "2", "--recovery-window-days", "31"), "31 days are too many"),
        (("restore-runtime", "--node", "24", "--version", OLD, "--alias", "latest"), "mutually exclusive"),
    ],
)
def test_prune_and_restore_refuse_invalid_flags(runtimes, words, message):
    outcome = runtimes.run(*words)
    assert (outcome.code, len(outcome.lines), message in outcome.err) == (2, 1, True)
    assert runtimes.core.calls == []


# ---- sharing


def arn(region="eu-west-1"):
    return f"arn:aws:lambda:{region}:{ACCOUNT}:runtime/{NAME}"


def policy(runtimes):
    return json.loads(runtimes.core.home("eu-west-1")["runtimes"][NAME]["policy"])


def test_share_merges_the_policy_and_keeps_statements_of_others(two):
    region = two.region()
    foreign = {
        "Sid": "other",
        "Effect": "Deny",
        "Principal": {"AWS": "999999999999"},
        "Action": "lambda:*",
        "Resource": arn(),
    }
    region.put_policy(arn(), {"Version": "2012-10-17", "Id": "mine", "Statement": [foreign]})
    first = Access(accounts=frozenset({"111111111111"}))
    assert sharing.share(region, arn(), first) == first
    both = Access(organizations=frozenset({"o-a1b2c3d4e5"}), accounts=frozenset({"222222222222"}))
    assert sharing.share(region, arn(), both) == both
    assert sharing.share(region, arn(), both) == Access()
    found = policy(two)
    assert (found["Id"], found["Statement"][0]) == ("mine", foreign)
    organizations, accounts = found["Statement"][1:]
    assert organizations["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": ["o-a1b2c3d4e5"]}}
    assert accounts["Principal"] == {"AWS": ["111111111111", "222222222222"]}
    assert two.core.count()["PutResourcePolicy", "eu-west-1"] == 3


def test_share_repeats_the_merge_if_another_process_changed_the_policy(two):
    region = two.region()
    sharing.share(region, arn(), Access(accounts=frozenset({"111111111111"})))
    two.core.fail("PutResourcePolicy", "eu-west-1", "PreconditionFailedException")
    two.core.fail("PutResourcePolicy", "eu-west-1", "lost answer")
    sharing.share(region, arn(), Access(accounts=frozenset({"222222222222"})))
    assert policy(two)["Statement"][0]["Principal"] == {"AWS": ["111111111111", "222222222222"]}
    two.core.fail("PutResourcePolicy", "eu-west-1", "PreconditionFailedException", times=None)
    with pytest.raises(UnreachableError, match="another process changes the same resource"):
        sharing.share(region, arn(), Access(accounts=frozenset({"333333333333"})))


def test_share_refuses_a_policy_that_is_too_long_and_public_access_before_a_call(two):
    region = two.region()
    many = Access(accounts=frozenset(f"{number:012}" for number in range(1400)))
    with pytest.raises(RefusedError, match=r"would have 21.* characters; Lambda allows 20480"):
        sharing.share(region, arn(), many)
    with pytest.raises(InvalidInputError, match="a runtime cannot be public: Lambda refuses such a policy"):
        sharing.share(region, arn(), Access(public=True))
    assert "PutResourcePolicy" not in {call.operation for call in two.core.calls}


def test_verify_runtimes_finds_access_that_was_removed(two):
    known = store.read(two.path)
    (name,) = (each for each in known.runtimes if arn() in each and NEW in each)
    entry = known.runtimes[name]
    shared = Manifest(runtimes={name: replace(entry, accounts=["111111111111"])})
    store.update(two.path, lambda now: now.merge(shared))
    outcome = two.run("verify-runtimes")
    assert (outcome.code, f"{arn()}  access was removed: account 111111111111\n" in outcome.out) == (5, True)
    sharing.share(two.region(), arn(), Access(accounts=frozenset({"111111111111"})))
    assert two.run("verify-runtimes").code == 0


# ---- the client


def test_creates_are_repeated_and_found_although_there_is_no_client_token(runtimes):
    region = runtimes.region()
    lifecycle = lifecycle_of("24.1.0")
    for operation in ("CreateRuntime", "CreateRuntimeVersion", "CreateRuntimeAlias"):
        runtimes.core.fail(operation, error="lost answer")
        runtimes.core.fail(operation, error="TooManyRequestsException", Retry_After=0, skip=1)
    assert region.create_runtime(NAME, "text", "MIT", lifecycle, {"a": "b"}).lifecycle == lifecycle
    made = region.create_version(NAME, OLD, f"x/y@sha256:{'1' * 64}", "notes")
    assert (made.digest, made.architectures, made.notes) == (
        f"sha256:{'1' * 64}",
        ("arm64", "x86_64"),
        "notes",
    )
    assert region.put_alias(NAME, "latest", OLD, "text", lifecycle).version == OLD
    assert [each.name for each in region.versions(NAME)] == [OLD]
    assert region.create_version(NAME, NEW, "x/y:1", "", dry_run=True).name == NEW
    assert region.version(NAME, NEW) is None


def test_quota_that_is_exceeded_says_what_to_do(runtimes):
    runtimes.publish("eu-west-1", OLD)
    runtimes.core.settings.quotas = {"versions": 1}
    with pytest.raises(RefusedError, match=r"ServiceQuotaExceededException.*ask AWS for a higher quota"):
        runtimes.region().create_version(NAME, NEW, "x/y:1", "")


def test_slow_and_failed_versions_are_waited_for(runtimes, monkeypatch):
    monkeypatch.setattr(managed_runtimes, "_POLLS_S", (0.05,))
    region = runtimes.region()
    region.create_runtime(NAME, "", "", lifecycle_of("24.1.0"), {})
    runtimes.core.settings.creating_s = 600
    assert region.create_version(NAME, "slow", "x/y:1", "").state == "CREATING"
    with pytest.raises(UnreachableError, match="it is still CREATING after 0 s"):
        region.wait_active(NAME, "slow", 0)
    runtimes.core.settings.creating_s, runtimes.core.settings.failing = 0.3, {NEW}
    for version in (OLD, NEW):
        assert region.create_version(NAME, version, "x/y:1", "").state == "CREATING"
    assert region.wait_active(NAME, OLD, 5).state == "ACTIVE"
    with pytest.raises(RefusedError, match=r"Lambda could not create it .FAILED., and gives no reason"):
        region.wait_active(NAME, NEW, 5)
    with pytest.raises(UnreachableError, match=f"{NEW} is in state FAILED, not ACTIVE"):
        region.put_alias(NAME, "latest", NEW, "", lifecycle_of("24.1.0"))


def test_alias_is_set_although_reads_lag_behind(runtimes, monkeypatch):
    monkeypatch.setattr(managed_runtimes, "_POLLS_S", (0.05,))
    runtimes.publish("eu-west-1", OLD, NEW)
    region, lifecycle = runtimes.region(), lifecycle_of("24.1.0")
    runtimes.core.settings.lag_s = 0.3
    for version in (OLD, NEW):
        assert region.put_alias(NAME, "latest", version, "", lifecycle).version == version
    assert runtimes.core.count()["UpdateRuntimeAlias", "eu-west-1"] == 1


def test_names_stay_reserved_while_a_deletion_is_scheduled(two):
    region = two.region()
    with pytest.raises(NodelayerError, match=r"The alias .* points to the version"):
        region.delete_version(NAME, NEW, 7)
    for alias in ("latest", "24.2.0"):
        two.core.do("DeleteRuntimeAlias", "eu-west-1", RuntimeName=NAME, Name=alias)
    region.delete_version(NAME, NEW, 7)
    region.delete_version(NAME, NEW, 7)  # it is scheduled: nothing is left to do
    with pytest.raises(RefusedError, match=r"it is scheduled for deletion at .*restore-runtime"):
        region.create_version(NAME, NEW, "x/y:1", "")
    two.core.pass_days(8)
    assert region.version(NAME, NEW) is None
    assert region.create_version(NAME, NEW, "x/y:1", "").state == "ACTIVE"


@pytest.mark.parametrize(
    ("operation", "members", "words"),
    [
        ("create_runtime", {"Name": "Node"}, "Member must satisfy regular expression pattern"),
        ("create_runtime", {"Name": "n" * 129}, "Member must have length less than or equal to 128"),
        ("list_runtimes", {"MaxResults": 101}, "Member must have value less than or equal to 100"),
        (
            "create_runtime",
            {"Name": NAME, "ReleaseLifecycle": {"ReleaseState": "OLD"}},
            "Member must satisfy enum value set",
        ),
        (
            "create_runtime",
            {
                "Name": NAME,
                "ReleaseLifecycle": {"ReleaseState": "DEPRECATED", "DeprecationDate": "2099-01-01"},
            },
            "DEPRECATED requires a DeprecationDate on or before today",
        ),
    ],
)
def test_server_refuses_what_the_service_model_forbids(runtimes, operation, members, words):
    client = runtimes.core.client("lambda-core", "eu-west-1")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=words):
        getattr(client, operation)(**members)


def test_server_has_every_operation_of_customer_managed_runtimes(runtimes):
    model = runtimes.core.client("lambda-core", "eu-west-1").meta.service_model
    operations = [each for each in model.operation_names if "Runtime" in each]
    assert len(operations) >= 16
    assert [each for each in operations if not hasattr(runtimes.core, f"_{each}")] == []


def test_lists_are_read_to_their_last_page(runtimes):
    runtimes.core.settings.page = 2
    versions = [f"24.{minor}.0_1.0.0" for minor in range(5)]
    runtimes.publish("eu-west-1", *versions)
    region = runtimes.region()
    assert [each.name for each in region.versions(NAME)] == versions
    assert len(region.aliases(NAME)) == 5
    assert runtimes.core.count()["ListRuntimeVersions", "eu-west-1"] == 3
