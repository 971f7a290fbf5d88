"""publish-runtime creates runtimes in each region, and sets their aliases."""

import json
import os

import pytest
from publish.faults import Rule, cut_response
from publish.lambda_core import LambdaCore, answer_with_version
from publish.runtime_fixtures import BASE, TWO, RuntimeWorkspace, make_image

from nodelayer.aws import functions, managed_runtimes
from nodelayer.aws.ecr import LIFECYCLE_RULES
from nodelayer.aws.layers import Access
from nodelayer.cli.command import PATHS
from nodelayer.publish.canary import CanaryOptions
from nodelayer.publish.runtimes import region_worker

pytestmark = pytest.mark.network

ONE = TWO[:1]
REGION = ONE[0]
VERSION = "12.16.1_0.0.1"
NEWER = "12.22.12_0.0.1"
CREATE = "CreateRuntimeVersion"
CREATES = ("CreateRuntime", CREATE, "CreateRuntimeAlias")
ECR_CREATES = (
    "CreateRepository",
    "SetRepositoryPolicy",
    "PutLifecyclePolicy",
    "POST blobs",
    "PUT blobs",
    "PUT manifests",
)
LIFECYCLE = LIFECYCLE_RULES.replace("14", "90")
FOREIGN = {"Sid": "Team", "Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages"}


@pytest.fixture
def core():
    with LambdaCore() as running:
        running.settings.regions = dict.fromkeys(TWO, "ENABLED")
        yield running


@pytest.fixture
def workspace(core, proxy, tmp_path, monkeypatch):
    """An image of 12.16.1 that is built and not yet published; `proxy` is in front of MiniStack's ECR."""
    monkeypatch.setattr(managed_runtimes, "_POLLS_S", (0.01,))
    monkeypatch.setattr(functions, "_POLL_S", 0.01)
    made = RuntimeWorkspace(tmp_path, core, proxy)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in made.environ().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    make_image(tmp_path / "dist")
    return made


def state(workspace, region=REGION):
    return workspace.runtime(region)


def test_an_image_becomes_a_runtime_in_each_region_and_a_second_run_changes_nothing(workspace, core, proxy):
    flags = ("publish-runtime", "--node=12", f"--regions={','.join(TWO)}")
    planned = workspace.command(*flags, "--dry-run")
    assert (planned.code, core.state[f"123456789012 {REGION}"]["runtimes"]) == (0, {})
    todo = (
        "create repository nodelayer/nodejs-12, push 0.0 MB, create runtime, create version, "
        "create alias 12.16.1, create alias latest, record"
    )
    assert [line.split(None, 3) for line in planned.out.splitlines()[1:]] == [
        [region, "nodejs-12", VERSION, todo] for region in TWO
    ]
    done = workspace.command(*flags, "--json")
    assert done.code == 0, done.err
    assert {each["arn"] for each in json.loads(done.out)["done"]} == {
        f"arn:aws:lambda:{region}:123456789012:runtime/nodejs-12/version/{VERSION}" for region in TWO
    }
    digest = make_image(workspace.dist)
    for region in TWO:
        assert state(workspace, region) == ({VERSION: "ACTIVE"}, {"12.16.1": VERSION, "latest": VERSION})
        assert sorted(workspace.images(region).values()) == [[], [], [VERSION]]
        entry = workspace.recorded()[region, VERSION]
        assert (entry.node_version, entry.architectures) == ("12.16.1", ["arm64", "x86_64"])
        assert entry.image == f"123456789012.dkr.ecr.{region}.amazonaws.com/nodelayer/nodejs-12@{digest}"
        creates = [call for call in core.calls if (call.operation, call.region) == (CREATE, region)]
        assert [call.members.get("DryRun", False) for call in creates] == [True, False]
        assert {call.members["ImageUri"] for call in creates} == {entry.image}
    core.clear()
    proxy.clear()
    before = workspace.path.read_bytes()
    again = workspace.command(*flags)
    assert (again.code, workspace.path.read_bytes()) == (0, before)
    assert "0 aliases to set, 2 need no change" in again.err
    changes = [call.operation for call in (*core.calls, *proxy.calls) if not reads(call.operation)]
    assert changes == []


def reads(operation):
    return operation.startswith(("Get", "List", "Describe"))


def test_latest_moves_only_forward_and_previous_names_what_latest_was(workspace):
    workspace.run(ONE)
    make_image(workspace.dist, "12.22.12")
    workspace.run(ONE)
    exact = {"12.16.1": VERSION, "12.22.12": NEWER}
    assert state(workspace)[1] == {**exact, "latest": NEWER, "previous": VERSION}
    make_image(workspace.dist, "12.18.0")
    workspace.run(ONE)
    exact["12.18.0"] = "12.18.0_0.0.1"
    assert state(workspace)[1] == {**exact, "latest": NEWER, "previous": VERSION}


def test_several_images_of_one_major_are_published_oldest_first(workspace, core):
    make_image(workspace.dist, "12.22.12")
    make_image(workspace.dist, "24.1.0")
    workspace.run(ONE)
    assert state(workspace)[1] == {
        "12.16.1": VERSION,
        "12.22.12": NEWER,
        "latest": NEWER,
        "previous": VERSION,
    }
    assert workspace.runtime(REGION, "nodejs-24")[1] == {
        "24.1.0": "24.1.0_0.0.1",
        "latest": "24.1.0_0.0.1",
    }
    assert core.count()["CreateRuntime", REGION] == 2


def test_the_exact_alias_moves_to_a_newer_nodelayer_version_only(workspace, monkeypatch):
    monkeypatch.setattr("nodelayer.manifest.store.__version__", "1.0.0")
    workspace.run(ONE)
    make_image(workspace.dist, nodelayer="0.2.0")
    workspace.run(ONE)
    newer = "12.16.1_0.2.0"
    assert state(workspace)[1] == {"12.16.1": newer, "latest": newer, "previous": VERSION}
    make_image(workspace.dist, nodelayer="0.1.0")
    workspace.run(ONE)
    versions, aliases = state(workspace)
    assert aliases == {"12.16.1": newer, "latest": newer, "previous": VERSION}
    assert set(versions) == {VERSION, newer, "12.16.1_0.1.0"}


def test_latest_does_not_move_to_a_version_that_it_was_rolled_back_from(workspace):
    workspace.run(ONE)
    make_image(workspace.dist, "12.22.12")
    workspace.run(ONE)
    rolled_back = {"latest": VERSION, "previous": NEWER}
    for alias, version in rolled_back.items():
        workspace.set_alias(REGION, alias, version)
    kept = workspace.run(ONE, dry_run=True).printed[0]
    assert f"latest stays at {VERSION}, because it was rolled back from {NEWER}" in kept
    assert workspace.run(ONE).code == 0
    assert rolled_back.items() <= state(workspace)[1].items()
    make_image(workspace.dist, "12.22.13")
    workspace.run(ONE, node="12.22.13")
    moved = {"latest": "12.22.13_0.0.1", "previous": VERSION}
    assert moved.items() <= state(workspace)[1].items()


def test_lost_answers_make_no_second_resource(workspace, core, proxy):
    # The first request with DryRun creates nothing.
    lost = [core.fail(name, error="lost answer", skip=int(name == CREATE)) for name in CREATES]
    lost += [
        proxy.rule(Rule(cut_response, operation=name, times=1, skip=2 * (name == "PUT manifests")))
        for name in ECR_CREATES  # the last of three manifests is the index, with the tag
    ]
    assert workspace.run(ONE).errors == {}
    assert [each.hits for each in lost] == [1] * len(lost)
    assert sorted(workspace.images(REGION).values()) == [[], [], [VERSION]]
    assert state(workspace) == ({VERSION: "ACTIVE"}, {"12.16.1": VERSION, "latest": VERSION})


def test_lost_answers_to_changes_are_read_again(workspace, core):
    workspace.run(ONE)
    core.home(REGION)["runtimes"]["nodejs-12"]["Description"] = "of somebody"
    make_image(workspace.dist, "12.22.12")
    lost = [core.fail(name, error="lost answer") for name in ("UpdateRuntime", "UpdateRuntimeAlias")]
    assert workspace.run(ONE).errors == {}
    assert [each.hits for each in lost] == [1, 1]
    assert state(workspace)[1]["latest"] == NEWER


@pytest.mark.parametrize("error", ["UnknownOperationException", "AccessDeniedException"])
def test_a_region_without_the_api_is_skipped_in_one_line(workspace, core, error):
    core.without_api(TWO[1], error)
    done = workspace.run(None)
    assert done.code == 0
    assert done.document["skipped"][TWO[1]] == "Lambda has no customer-managed runtimes there yet"
    assert state(workspace)[1]["latest"] == VERSION
    named = workspace.run(TWO)
    assert (named.code, set(named.errors)) == (9, {TWO[1]})
    assert "has no customer-managed runtimes here yet" in named.errors[TWO[1]]


def test_a_version_that_fails_is_explained_and_stops_no_other_region(workspace, core):
    core.settings.failing.add(VERSION)
    done = workspace.run(ONE)
    assert done.code == 9
    assert "Lambda could not create it (FAILED), and gives no reason" in done.errors[REGION]
    assert state(workspace) == ({VERSION: "FAILED"}, {})
    core.settings.failing.clear()
    again = workspace.run(TWO)
    assert set(again.errors) == {REGION}
    assert state(workspace, TWO[1])[1]["latest"] == VERSION
    assert set(workspace.recorded()) == {(TWO[1], VERSION)}


def test_a_version_that_is_not_active_in_time_is_waited_for_by_the_next_run(workspace, core, monkeypatch):
    core.settings.creating_s = 1.5
    monkeypatch.setattr(region_worker, "ACTIVE_S", 0.1)
    late = workspace.run(ONE)
    assert (late.code, state(workspace)[1]) == (4, {})
    assert "it is still CREATING after 0 s" in late.errors[REGION]
    monkeypatch.setattr(region_worker, "ACTIVE_S", 10.0)
    core.clear()
    assert workspace.run(ONE).errors == {}
    assert core.count()[CREATE, REGION] == 0
    assert state(workspace)[1] == {"12.16.1": VERSION, "latest": VERSION}


def test_another_image_of_the_same_version_is_refused_before_anything_is_changed(workspace, core, proxy):
    workspace.run(ONE)
    make_image(workspace.dist, seed="another")
    core.clear()
    proxy.clear()
    done = workspace.run(ONE)
    assert done.code == 9
    assert f"the repository has another image with the tag {VERSION}" in done.errors[REGION]
    assert all(reads(call.operation) for call in (*core.calls, *proxy.calls))


def test_settings_of_an_existing_repository_are_completed_and_kept(workspace):
    ecr = workspace.client(REGION)
    name = {"repositoryName": "nodelayer/nodejs-12"}
    ecr.create_repository(**name)
    ecr.set_repository_policy(
        **name, policyText=json.dumps({"Version": "2012-10-17", "Statement": [FOREIGN]})
    )
    ecr.put_lifecycle_policy(**name, lifecyclePolicyText=LIFECYCLE)
    assert workspace.run(ONE).errors == {}
    statements = json.loads(ecr.get_repository_policy(**name)["policyText"])["Statement"]
    assert statements[0] == FOREIGN
    assert statements[1]["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statements[1]["Condition"] == {
        "StringLike": {"aws:SourceArn": f"arn:aws:lambda:{REGION}:123456789012:*"}
    }
    assert ecr.get_lifecycle_policy(**name)["lifecyclePolicyText"] == LIFECYCLE
    found = ecr.describe_repositories(repositoryNames=["nodelayer/nodejs-12"])["repositories"][0]
    assert found["imageTagMutability"] == "IMMUTABLE"


def test_blobs_that_another_runtime_has_are_mounted(workspace, proxy):
    workspace.run(ONE)
    make_image(workspace.dist, "24.1.0")
    proxy.clear()
    assert workspace.run(ONE, node="24").errors == {}
    uploads = [call.size for call in proxy.calls if call.operation == "PUT blobs"]
    assert len(uploads) == 4  # a config and a layer for each architecture
    assert len(BASE) not in uploads
    mounts = [call.status for call in proxy.calls if call.operation == "POST blobs"]
    assert sorted(mounts) == [201, 202, 202, 202, 202]


def test_a_runtime_is_shared_after_its_aliases_are_set(workspace, core):
    access = Access(organizations=frozenset({"o-a1b2c3d4e5"}), accounts=frozenset({"210987654321"}))
    assert (
        "share with o-a1b2c3d4e5, account 210987654321"
        in workspace.run(ONE, access=access, dry_run=True).printed[0]
    )
    assert workspace.run(ONE, access=access).errors == {}
    operations = [call.operation for call in core.calls]
    assert operations.index("PutResourcePolicy") > max(
        at for at, name in enumerate(operations) if name == "CreateRuntimeAlias"
    )
    entry = workspace.recorded()[REGION, VERSION]
    assert (entry.organizations, entry.accounts) == (["o-a1b2c3d4e5"], ["210987654321"])
    core.clear()
    workspace.run(ONE, access=access)
    assert all(reads(call.operation) for call in core.calls)


def test_a_canary_starts_each_new_version_before_its_aliases_are_set_anywhere(workspace, core):
    done = workspace.run(TWO, canary=canary(), preferred=TWO[1])
    assert (done.code, done.errors) == (0, {})
    assert state(workspace, TWO[1])[1] == {"12.16.1": VERSION, "latest": VERSION, "canary": VERSION}
    assert state(workspace)[1] == {"12.16.1": VERSION, "latest": VERSION}
    created = [call.members for call in core.calls if call.operation == "CreateFunction"]
    arn = f"arn:aws:lambda:{TWO[1]}:123456789012:runtime/nodejs-12"
    assert [(each["Runtime"], each["RuntimeConfig"], each["Architectures"]) for each in created] == [
        ("custom", {"RuntimeArn": arn, "RuntimeAlias": "canary"}, [name]) for name in ("x86_64", "arm64")
    ]
    deleted = [at for at, call in enumerate(core.calls) if call.operation == "DeleteFunction"]
    aliases = [
        call.members["Name"] for call in core.calls[: max(deleted)] if call.operation == "CreateRuntimeAlias"
    ]
    assert (len(deleted), aliases) == (2, ["canary"])
    core.clear()
    assert workspace.run(TWO, canary=canary()).code == 0
    assert all(reads(call.operation) for call in core.calls)


def test_a_canary_that_fails_leaves_every_alias_where_it_is(workspace, core):
    workspace.run(TWO)
    make_image(workspace.dist, "12.22.12")
    core.settings.invoke = lambda *_: (b"{}", False)
    done = workspace.run(TWO, canary=canary(REGION))
    assert done.code == 8
    assert "the canary on custom gave a wrong answer to the sample event" in done.errors[""]
    assert "no alias is set" in done.errors[""]
    assert [(each["new"], each["complete"]) for each in done.document["done"]] == [
        (False, True),
        (True, False),
    ] * 2
    before = {"12.16.1": VERSION, "latest": VERSION}
    assert state(workspace)[1] == {**before, "canary": NEWER}
    assert state(workspace, TWO[1]) == ({VERSION: "ACTIVE", NEWER: "ACTIVE"}, before)
    assert core.home(REGION)["functions"] == {}
    assert (REGION, NEWER) not in workspace.recorded()
    core.settings.invoke = answer_with_version
    assert workspace.run(TWO, canary=canary(REGION)).code == 0
    assert state(workspace, TWO[1])[1]["latest"] == NEWER


def test_a_canary_whose_region_fails_leaves_every_alias_where_it_is(workspace, core):
    core.fail("CreateRuntime", REGION, "ServiceException", times=None)
    done = workspace.run(TWO, canary=canary(REGION))
    assert f"the canary cannot run: {REGION} does not have the version" in done.errors[""]
    assert state(workspace, TWO[1]) == ({VERSION: "ACTIVE"}, {})


def canary(*regions):
    role = "arn:aws:iam::123456789012:role/nodelayer-canary"
    return CanaryOptions(regions, role, 1, PATHS.function)


def test_the_lifecycle_of_the_node_js_schedule_is_set_again(workspace, core):
    workspace.run(ONE)
    client = workspace.lambda_(REGION)
    client.update_runtime(RuntimeName="nodejs-12", Description="of somebody")  # removes the lifecycle
    planned = workspace.run(ONE, dry_run=True).document["steps"][0]["actions"]
    assert planned == ["update runtime"]
    assert workspace.run(ONE).errors == {}
    lifecycle = client.get_runtime(RuntimeName="nodejs-12")["ReleaseLifecycle"]
    assert lifecycle == {"ReleaseState": "DEPRECATED", "DeprecationDate": "2022-04-30"}
    assert client.get_runtime_alias(RuntimeName="nodejs-12", Name="latest")["ReleaseLifecycle"] == lifecycle
    core.clear()
    assert workspace.run(ONE).document["done"][0]["aliases"] == {}
    assert all(reads(call.operation) for call in core.calls)


def test_a_runtime_that_is_scheduled_for_deletion_is_left_alone(workspace, core):
    workspace.run(ONE)
    core.home(REGION)["runtimes"]["nodejs-12"]["PendingDeletionAt"] = "2099-01-01T00:00:00.000000Z"
    make_image(workspace.dist, "12.22.12")
    done = workspace.run(ONE)
    assert done.code == 9
    assert "nodejs-12 is scheduled for deletion" in done.errors[REGION]
    assert "restore-runtime" in done.errors[REGION]
    assert set(state(workspace)[0]) == {VERSION}


def test_a_quota_stops_its_region_only(workspace, core):
    core.fail("CreateRuntime", TWO[1], "ServiceQuotaExceededException", message="The quota is exceeded")
    done = workspace.run(TWO)
    assert (done.code, set(done.errors)) == (9, {TWO[1]})
    assert "ask AWS for a higher quota" in done.errors[TWO[1]]
    assert state(workspace)[1]["latest"] == VERSION
    assert workspace.run(TWO).errors == {}
    assert state(workspace, TWO[1])[1]["latest"] == VERSION


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--node or --built is required"),
        (("--node=12", "--built"), "mutually exclusive"),
        (("--node=24",), "no image of Node.js 24 is built"),
        (("--node=12", "--account-id=1"), "is not the ID of an account"),
    ],
)
def test_wrong_flags_are_one_line(workspace, flags, said):
    done = workspace.command("publish-runtime", *flags)
    assert done.code in {2, 3}
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_version_without_an_architecture_of_the_image_gets_no_alias(workspace, core):
    core.settings.resolve = lambda _account, _region, uri: (
        uri.rpartition("@")[2],
        {"x86_64": f"sha256:{'0' * 64}"},
    )
    for _ in range(2):  # the second run does not take it for a good one
        done = workspace.run(ONE)
        assert done.code == 5
        assert "the runtime version is not the built one: it does not run on arm64" in done.errors[REGION]
        assert state(workspace) == ({VERSION: "ACTIVE"}, {})
