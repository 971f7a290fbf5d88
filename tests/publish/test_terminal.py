"""Publishing on a terminal: one row for each region, and each message once."""

import boto3
import pytest
import terminal
from publish.conftest import make_layer
from publish.faults import Rule, access_denied, delay
from publish.publish_fixtures import LAYER
from support import command

pytestmark = pytest.mark.network

FAILURE = "eu-west-1: not allowed: lambda:PublishLayerVersion"
STATES = ("checking", "uploading", "publishing", "verifying", "granting access", "done", "failed")


def test_every_region_has_a_row_until_the_end(workspace, proxy):
    make_layer(workspace.dist, size=8 << 20)
    regions = ["eu-west-1", *boto3.Session().get_available_regions("lambda")[:9]]
    proxy.rule(Rule(access_denied, region="eu-west-1", operation="PublishLayerVersion"))
    for operation in (
        "ListLayerVersions",
        "PublishLayerVersion",
        "GetLayerVersion",
        "AddLayerVersionPermission",
    ):
        proxy.rule(Rule(delay(1), operation=operation))
    session = terminal.run(
        command("publish", "--node", "12", "--public", "--regions", ",".join(regions)),
        columns=180,
        cwd=workspace.folder,
        env=workspace.endpoint.environ(TERM="xterm-256color", NO_COLOR=None),
    )
    assert session.code == 9
    rows = [line for screen in session.screens[:-1] for line in screen if "━" in line]
    assert {line.split()[0] for line in rows} == set(regions)
    assert [state for state in STATES if not any(state in line for line in rows)] == []
    others = sorted(set(regions) - {"eu-west-1"})
    plan, first, *arns, summary = session.last[:-1]
    assert "10 layer versions to publish" in plan
    assert first.startswith(FAILURE)
    assert [line.split(":")[3] for line in arns] == others
    assert all(line.endswith(f":layer:{LAYER}:1") for line in arns)
    assert summary == f"{len(others)} layer versions published, 0 already published, 1 failure"
    assert session.last[-1].startswith("Not done: eu-west-1. To retry only these regions, run: ")
    assert not session.cursor_hidden
