"""Each failure of a run is printed once, with the command that retries it, and decides the exit code."""

import pytest
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, dead, expired
from publish.publish_fixtures import LAYER, THREE

from nodelayer.publish.layers import publisher
from nodelayer.publish.layers.plan import PublishOptions
from nodelayer.publish.layers.publisher import Publisher
from nodelayer.publish.layers.report import RunReport
from nodelayer.util.console import Reporter

pytestmark = pytest.mark.network

ALL = ",".join(THREE)


def retry(command, regions):
    return f"To retry only these regions, run: invoke {command} --regions {regions}"


def test_manifest_that_cannot_be_written_counts_as_one_failure(workspace):
    workspace.path.with_suffix(".txt").mkdir()  # a folder, so no file can replace it
    outcome = workspace.command("publish", "--node", "12", "--regions", ALL)
    assert outcome.code == 7
    assert outcome.err.count("the manifest: ") == 1
    assert "3 layer versions published, 1 failure" in outcome.err.replace(" 0 already published,", "")
    assert retry("publish --node 12", ALL) in outcome.err


def test_a_failed_manifest_write_is_repaired_by_the_next_one(workspace, monkeypatch):
    blocked = workspace.path.with_suffix(".txt")
    blocked.mkdir()
    publishing, selection = workspace.publisher()
    options = PublishOptions()
    planned = publishing.plan(workspace.artifacts(), selection, options)
    add = publisher.Recorder.add

    def add_then_unblock(recorder, layer):
        add(recorder, layer)
        if blocked.is_dir():
            blocked.rmdir()

    monkeypatch.setattr(publisher.Recorder, "add", add_then_unblock)
    assert publishing.run(workspace.artifacts(), selection, options, planned).failures == ()
    assert workspace.recorded() == dict.fromkeys(THREE, 1)


def test_layer_that_cannot_be_aligned_counts_as_one_failure(workspace, monkeypatch, capsys):
    monkeypatch.setattr(publisher, "_ALIGN_ROUNDS", 0)  # as if another publisher is ahead in every round
    workspace.publish(["us-east-1"])
    workspace.lambda_("us-east-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    workspace.path.unlink()
    report = RunReport(Reporter(), "publish", {"--node": "12", "--align": True})
    other, selection = workspace.publisher()
    publishing = Publisher(other._account, workspace.path, report)
    options = PublishOptions(align=True)
    planned = publishing.plan(workspace.artifacts(), selection, options)
    publishing.run(workspace.artifacts(), selection, options, planned)
    assert report.finish() == 5
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.count(f"{LAYER}: the layer version numbers differ: 1, 2: ") == 1
    assert retry("publish --node 12 --align", ALL) in printed


def test_refused_call_in_a_later_round_of_align_is_printed(workspace, proxy):
    workspace.publish(["us-east-1"])
    workspace.lambda_("us-east-1").delete_layer_version(LayerName=LAYER, VersionNumber=1)
    workspace.path.unlink()
    # not yet the calls of the plan, and of the plan with the lease
    proxy.rule(Rule(access_denied, region="eu-west-1", operation="ListLayerVersions", skip=2))
    outcome = workspace.command("publish", "--node", "12", "--align", "--regions", ALL)
    assert outcome.code == 9
    assert outcome.err.count("eu-west-1: not allowed: lambda:ListLayerVersions") == 1
    assert retry("publish --node 12 --align", "eu-west-1") in outcome.err
    assert set(workspace.recorded()) == set(THREE)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (expired, "eu-west-1: the AWS credentials have expired"),
        (access_denied, "eu-west-1: not allowed: lambda:PublishLayerVersion"),
    ],
)
def test_error_of_a_region_is_printed_once_for_all_layers(workspace, proxy, fault, words):
    make_layer(workspace.dist, "nodejs-14.0.0-x86_64")
    make_layer(workspace.dist, "nodejs-16.0.0-x86_64")
    proxy.rule(Rule(fault, region="eu-west-1", operation="PublishLayerVersion"))
    outcome = workspace.command("publish", "--built", "--regions", "eu-west-1,us-east-1")
    assert (outcome.code, outcome.err.count(words)) == (9, 1)
    assert "3 layer versions published, 0 already published, 1 failure" in outcome.err
    assert retry("publish --built", "eu-west-1") in outcome.err


@pytest.mark.parametrize("words", [("verify",), ("prune", "--keep", "1"), ("backfill", "--node", "12")])
def test_every_command_prints_the_retry_command_of_a_failed_region(workspace, proxy, words):
    workspace.publish(["us-east-1"] if words[0] == "backfill" else THREE)
    proxy.rule(Rule(dead, region="eu-west-1"))
    outcome = workspace.command(*words, "--regions", ALL)
    assert (outcome.code, outcome.err.count("eu-west-1: the connection broke")) == (4, 1)
    assert retry(" ".join(words), "eu-west-1") in outcome.err


def test_prune_prints_the_regions_with_unrecorded_deletions(workspace):
    for seed in range(2):
        make_layer(workspace.dist, seed=seed)
        workspace.publish(["eu-west-1"])
    workspace.path.with_suffix(".txt").unlink()
    workspace.path.with_suffix(".txt").mkdir()
    outcome = workspace.command("prune", "--keep", "1", "--yes")
    assert (outcome.code, outcome.err.count("the manifest: ")) == (7, 1)
    assert retry("prune --keep 1 --yes", "eu-west-1") in outcome.err
