"""Which aliases a runtime version gets."""

import pytest

from nodelayer.aws.managed_runtimes import Alias, Runtime, RuntimeVersion
from nodelayer.errors import RefusedError
from nodelayer.image.artifact import Image
from nodelayer.publish.layers.report import Failure
from nodelayer.publish.runtimes.lifecycle import lifecycle_of
from nodelayer.publish.runtimes.names import describe, node_version
from nodelayer.publish.runtimes.plan import RegionState, alias_moves, plan_region


def image(version="12.22.12_1.0.0", digest="sha256:1"):
    node, _, nodelayer = version.rpartition("_")
    return Image(node, nodelayer, ("arm64", "x86_64"), digest, f"nodejs-{node}", None, ())


def alias(name, version, description=None):
    node = node_version(version)
    lifecycle = {"lifecycle": lifecycle_of(node)} if node else {}
    shown = describe(version) if description is None else description
    return Alias("nodejs-12", name, "", version, "ACTIVE", shown, **lifecycle)


def moved(version, existing):
    found = {name: alias(name, named) for name, named in existing.items()}
    moves, kept = alias_moves(image(version), found)
    return {move.alias: (move.before, move.version) for move in moves}, kept


NEW = "12.22.12_1.0.0"


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ({}, {"12.22.12": ("", NEW), "latest": ("", NEW)}),
        (
            {"latest": "12.16.1_1.0.0"},
            {
                "12.22.12": ("", NEW),
                "previous": ("", "12.16.1_1.0.0"),
                "latest": ("12.16.1_1.0.0", NEW),
            },
        ),
        (  # as after a kill between the two aliases
            {"12.22.12": NEW, "latest": "12.16.1_1.0.0", "previous": "12.16.1_1.0.0"},
            {"latest": ("12.16.1_1.0.0", NEW)},
        ),
        ({"12.22.12": NEW, "latest": NEW}, {}),
        ({"12.22.12": NEW, "latest": "12.22.13_0.9.0"}, {}),
        ({"12.22.12": "12.22.12_1.1.0", "latest": "12.22.12_1.1.0"}, {}),
        (
            {"12.22.12": "12.22.12_0.9.0", "latest": "12.22.12_0.9.0", "previous": "12.16.1_1.0.0"},
            {
                "12.22.12": ("12.22.12_0.9.0", NEW),
                "previous": ("12.16.1_1.0.0", "12.22.12_0.9.0"),
                "latest": ("12.22.12_0.9.0", NEW),
            },
        ),
        (  # nodelayer did not name it
            {"latest": "mine"},
            {"12.22.12": ("", NEW), "previous": ("", "mine"), "latest": ("mine", NEW)},
        ),
    ],
)
def test_aliases_move_forward(existing, expected):
    assert moved(NEW, existing) == (expected, "")


def test_a_prerelease_does_not_replace_a_release():
    assert moved("27.1.0-alpha.1_1.0.0", {"latest": "27.0.0_1.0.0"})[0].keys() == {"27.1.0-alpha.1"}
    assert moved("27.0.0_1.0.0", {"latest": "27.1.0-alpha.1_1.0.0"})[0].keys() == {
        "27.0.0",
        "previous",
        "latest",
    }


@pytest.mark.parametrize(
    "existing",
    [
        {"latest": alias("latest", "12.16.1_1.0.0"), "previous": alias("previous", NEW)},
        {  # as after a rollback that was killed between the two aliases
            "latest": alias("latest", "12.16.1_1.0.0", f"12.16.1; rolled back from {NEW}"),
            "previous": alias("previous", "12.16.1_1.0.0"),
        },
    ],
)
def test_latest_does_not_return_to_a_version_that_was_rolled_back(existing):
    moves, kept = alias_moves(image(NEW), existing)
    assert [move.alias for move in moves] == ["12.22.12"]
    assert kept == f"latest stays at 12.16.1_1.0.0, because it was rolled back from {NEW}"


def test_an_update_of_the_lifecycle_keeps_the_description():
    found = alias("latest", NEW, "kept")
    stale = {"latest": Alias("nodejs-12", "latest", "", NEW, "ACTIVE", "kept")}
    assert found.lifecycle != stale["latest"].lifecycle
    (_, latest), _ = alias_moves(image(NEW), stale)
    assert (latest.before, latest.version, latest.description) == (NEW, NEW, "kept")
    assert latest.lifecycle == found.lifecycle


def test_a_failure_of_one_image_does_not_stop_the_others():
    taken = RuntimeVersion("nodejs-12", NEW, "", "ACTIVE", "host/name@sha256:2", "")
    state = RegionState(None, {}, Runtime("nodejs-12", "", "ACTIVE"), {NEW: taken}, {})
    images = [image(NEW), image("12.16.1_1.0.0")]
    step, failure = plan_region("eu-west-1", images, {"nodejs-12": state}, (), {})
    assert step.version_name == "12.16.1_1.0.0"
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, RefusedError)
    assert f"the version {NEW} has another image" in str(failure.error)
    assert step.repository == ("create repository nodelayer/nodejs-12",)
    assert step.runtime == "update runtime"
