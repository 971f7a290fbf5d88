"""A release from tag to catalogue: first run, second run, an unreachable region, a new Node.js release."""

import base64
import hashlib
import re
import subprocess
import sys

import pytest
from actions.act import ROLE
from actions.conftest import LINE, REGIONS
from publish.faults import Rule, dead

from nodelayer.manifest import schema
from nodelayer.manifest.model import Source

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.full]

UNREACHABLE = "sa-east-1"
BUILT = {"12.16.1-x86_64", f"{LINE[0]}-x86_64"}
OWN = {"plan", "ci", "wheel", "attest wheel", "publish", "record", "release", "docs", "site"}


def release(stage, step):
    """Run `invoke release` and push the tag, like a maintainer."""
    line = [f"{sys.prefix}/bin/invoke", "release", step]
    done = subprocess.run(line, cwd=stage.work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tag = stage.git("describe", "--tags", "--exact-match").strip()
    stage.push("main", tag)
    return tag


def change(stage, name, text, message):
    file = stage.work / name
    file.write_text(text(file.read_text()))
    stage.git("commit", "-qam", message)


def recorded(stage):
    return schema.parse(stage.git("show", "layers:layers.json", folder=stage.bare).encode(), "layers")


def published(manifest, tag):
    """Return (Node.js version, region) of each recorded layer version of a nodelayer release."""
    return {
        (layer.node_version, region)
        for layer in manifest.layers
        if layer.nodelayer_version == tag.removeprefix("v")
        for region, _ in layer.live()
    }


@pytest.fixture(scope="module")
def first(stage):
    tag = release(stage, "minor")
    return tag, stage.push_tag(tag), stage.steps()


@pytest.fixture(scope="module")
def again(stage, poisoned, first, github):
    assert poisoned
    before = (recorded(stage), stage.git("rev-parse", "layers", folder=stage.bare), github.state())
    return before, stage.push_tag(first[0])


@pytest.fixture(scope="module")
def broken(stage, again, proxy):
    assert again[1].code == 0
    fixed = "## [Unreleased]\n\n### Fixed\n\n- The client, somewhere.\n"
    change(
        stage, "CHANGELOG.md", lambda text: text.replace("## [Unreleased]\n", fixed, 1), "Describe the fix"
    )
    change(stage, "runtime/aws/index.js", lambda text: text + "// fixed\n", "Fix the client")
    tag = release(stage, "patch")
    proxy.rule(Rule(region=UNREACHABLE, operation="PublishLayerVersion", do=dead()))
    return tag, stage.push_tag(tag)


@pytest.fixture(scope="module")
def recovered(stage, broken, proxy):
    proxy.clear()
    return stage.dispatch("release.yml", ref=broken[0], inputs={"regions": UNREACHABLE})


def test_release_tag_runs_every_job(first):
    _, run, _ = first
    builds = {f"{job} {each}" for each in BUILT for job in ("first build", "second build", "attest")}
    assert run.code == 0, run.text
    assert {name: result for name, result in run.jobs.items() if result != "success"} == {}
    assert builds | OWN <= set(run.jobs)


def test_release_publishes_every_version_to_every_region(stage, first):
    tag, _, _ = first
    assert published(recorded(stage), tag) == {
        (version, region) for version in ("12.16.1", LINE[0]) for region in REGIONS
    }


def test_the_published_files_are_those_of_the_release(first, ministack, github):
    assets = github.assets(first[0])
    name = "nodejs-12.16.1-x86_64"
    digest = base64.b64encode(hashlib.sha256((assets / f"{name}.zip").read_bytes()).digest()).decode()
    for region in REGIONS:
        client = ministack.client("lambda", region)
        (version,) = client.list_layer_versions(LayerName="nodejs-12-16-1-x86_64")["LayerVersions"]
        content = client.get_layer_version_by_arn(Arn=version["LayerVersionArn"])["Content"]
        assert content["CodeSha256"] == digest


def test_the_release_has_zips_checksums_sboms_records_and_attestations(first, github):
    assets = github.assets(first[0])
    expected = {f"nodejs-{each}{end}" for each in BUILT for end in (".zip", ".json", ".cdx.json")}
    expected |= {f"attestation-{each}.jsonl" for each in (*BUILT, "wheel")} | {"SHA256SUMS"}
    expected |= {f"nodelayer-{first[0].removeprefix('v')}-py3-none-any.whl"}
    assert expected <= {file.name for file in assets.iterdir()}
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=assets, check=True)


def test_release_notes_have_the_changelog_and_the_arns(first, github, stage):
    notes = github.release(first[0])["body"]
    assert "`invoke build-layer`" in notes
    for layer in recorded(stage).layers:
        for _, found in layer.live():
            assert found.arn in notes


def test_gh_verifies_the_attestation_of_a_released_zip(first, github, gh, stage):
    assets = github.assets(first[0])
    line = [
        *(str(gh), "attestation", "verify", str(assets / "nodejs-12.16.1-x86_64.zip")),
        *("--bundle", str(assets / "attestation-12.16.1-x86_64.jsonl")),
        *("--custom-trusted-root", str(stage.home / "sigstore" / "trusted_root.jsonl")),
        *("--repo", stage.repository),
        *("--signer-workflow", f"{stage.repository}/.github/workflows/layer.yml"),
    ]
    done = subprocess.run(
        line, env={"GH_TOKEN": "x", "HOME": str(stage.folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_release_deploys_the_catalogue_and_the_documentation(first, stage):
    assert first[1].jobs["site"] == "success"
    pages = stage.home / "pages"
    assert "github.push-manifest" in (pages / "docs" / "commands.html").read_text()
    assert schema.parse((pages / "layers.json").read_bytes(), "pages") == recorded(stage)
    assert "nodejs-12-16-1-x86_64" in (pages / "index.html").read_text()


def test_actions_get_only_the_inputs_they_need(first):
    _, _, steps = first
    given = {}
    for step in steps:
        given.setdefault(step["action"], []).append(step["inputs"])
    assert {each["persist-credentials"] for each in given["checkout"]} == {"false"}
    assert {each["role-to-assume"] for each in given["configure-aws-credentials"]} == {ROLE}
    assert {each["aws-access-key-id"] for each in given["configure-aws-credentials"]} == {""}
    assert {each["overwrite"] for each in given["upload-artifact"]} == {"false"}
    assert {each["name"] for each in given["download-artifact"]} == {
        ""
    }  # by ID; the attested layers by pattern
    assert {each["pattern"] for each in given["download-artifact"]} == {"", "layer-*"}
    sboms = {each["sbom-path"] for each in given["attest"] if each["sbom-path"]}
    assert sboms == {f"dist/nodejs-{each}.cdx.json" for each in BUILT}


def test_only_the_publish_job_requests_credentials(first):
    jobs = {step["job"] for step in first[2] if step["action"] == "configure-aws-credentials"}
    assert jobs == {"publish"}


def test_only_jobs_that_build_nothing_attest(first):
    jobs = {step["job"] for step in first[2] if step["action"] == "attest"}
    assert jobs == {"attest", "attest-wheel"}


def test_both_builds_of_each_layer_are_equal_and_nobody_believes_one_alone(first):
    _, run, _ = first
    for each in BUILT:
        digests = {_digest(run.log[f"{which} build {each}"], each) for which in ("first", "second")}
        assert len(digests) == 1
        assert f"dist/nodejs-{each}.zip" in run.log[f"attest {each}"]
        assert f"dist/nodejs-{each}.zip" in run.log["publish"]


def _digest(log, layer):
    (found,) = re.findall(rf"nodejs-{re.escape(layer)}\.zip: .* sha256 ([0-9a-f]{{64}})", log)
    return found


def test_the_manifest_says_how_nodejs_was_verified(stage, first, index):
    assert first[1].code == 0
    source = Source(name="nodejs.org", verified="openpgp", key=index.fingerprint)
    assert {layer.source for layer in recorded(stage).layers} == {source}


POISON = """\
import json, pathlib, sys
name, files = sys.argv[1], pathlib.Path(sys.argv[2])
if name.startswith("layer-12.16.1-x86_64"):  # another zip, and one of a layer that nobody planned
    for zipped in ("nodejs-12.16.1-x86_64.zip", "nodejs-99.0.0-x86_64.zip"):
        (files / zipped).write_bytes(b"malware")
    planted = files.parent.parent / "1"
    (planted / "files").mkdir(parents=True)
    (planted / "name").write_text("recorded-publish-")
    manifest = pathlib.Path("MANIFEST").read_text().replace("VERSION", "99.0.0")
    (planted / "files" / "layers.json").write_text(manifest)
if name.startswith("layer-OTHER-x86_64"):
    record = files / "nodejs-OTHER-x86_64.json"
    forged = {"layer_name": "somebody-elses-layer", "nodelayer_version": "99.0.0"}
    record.write_text(json.dumps(json.loads(record.read_text()) | forged))
"""
"""What a job that executes downloaded programs can do: replace and add artifacts of its run."""


@pytest.fixture(scope="module")
def poisoned(stage, first, github, proxy, tmp_path_factory):
    """The first release once more, with a poisoned artifact, record and manifest: state before, and run."""
    tag, _, _ = first
    manifest = tmp_path_factory.mktemp("poison") / "layers.json"
    manifest.write_text(recorded(stage).json_text())
    text = POISON.replace("OTHER", LINE[0]).replace("MANIFEST", str(manifest))
    (stage.home / "poison.py").write_text(text.replace("VERSION", tag.removeprefix("v")))
    before = (recorded(stage), github.state())
    proxy.clear()
    run = stage.push_tag(tag)
    (stage.home / "poison.py").unlink()
    return before, run, stage.steps()


def test_poisoned_artifacts_publish_nothing(stage, poisoned, github, proxy):
    before, run, steps = poisoned
    assert run.code != 0
    assert (recorded(stage), github.state()) == before
    assert proxy.calls == []
    assert "configure-aws-credentials" not in {step["action"] for step in steps}
    assert run.jobs["publish"] == "failure"
    assert run.jobs.keys() & {"record", "release", "site"} == set()


def test_log_says_which_check_refused_a_poisoned_artifact(poisoned):
    publish = poisoned[1].log["publish"]
    assert "the attestation is not valid" in publish
    assert "the attestation does not name these files" in publish
    assert "not planned: nodejs-99.0.0-x86_64.zip" in publish


@pytest.mark.long
def test_second_run_of_a_release_changes_nothing(stage, again, github):
    before, run = again
    assert run.code == 0, run.text
    after = (recorded(stage), stage.git("rev-parse", "layers", folder=stage.bare), github.state())
    assert after == before
    assert "0 layer versions published" in run.log["publish"]


@pytest.mark.long
def test_failed_canary_publishes_no_release(stage, first, github):
    """This emulator runs no function, so the canary fails."""
    before = github.state()
    stage.settings["CANARY_ROLE"] = ROLE
    run = stage.push_tag(first[0])
    stage.settings["CANARY_ROLE"] = "none"
    assert (run.code != 0, run.jobs["publish"], github.state()) == (True, "failure", before)
    assert "no access was granted, because the canary did not succeed" in run.log["publish"]
    assert run.jobs.keys() & {"release", "pypi"} == set()


@pytest.mark.long
def test_unreachable_region_does_not_stop_the_others(stage, broken):
    tag, run = broken
    assert run.code != 0
    assert {name for name, result in run.jobs.items() if result != "success"} == {"publish"}
    expected = {
        (version, region) for version in ("12.16.1", LINE[0]) for region in REGIONS if region != UNREACHABLE
    }
    assert published(recorded(stage), tag) == expected


@pytest.mark.long
def test_later_run_publishes_only_to_the_missing_region(stage, broken, recovered, proxy):
    assert recovered.code == 0, recovered.text
    expected = {(version, region) for version in ("12.16.1", LINE[0]) for region in REGIONS}
    assert published(recorded(stage), broken[0]) == expected
    sent = {call.region for call in proxy.calls if call.operation == "PublishLayerVersion"}
    assert sent == {UNREACHABLE}


@pytest.mark.long
def test_watch_publishes_a_new_nodejs_release(stage, recovered, index, github):
    assert recovered.code == 0
    quiet = stage.schedule("watch.yml")
    assert quiet.code == 0, quiet.text
    assert github.dispatched() == []
    index.list("12.16.1", *LINE)
    watch = stage.schedule("watch.yml")
    assert watch.code == 0, watch.text
    (dispatched,) = github.dispatched()
    assert dispatched["inputs"] == {"node": LINE[1], "unattended": "true"}
    run = stage.dispatch(dispatched["workflow"], ref=dispatched["ref"], inputs=dispatched["inputs"])
    assert run.code == 0, run.text
    expected = {
        region for version, region in published(recorded(stage), dispatched["ref"]) if version == LINE[1]
    }
    assert expected == set(REGIONS)
    assert f"nodejs-{LINE[1]}-x86_64.zip" in {
        file.name for file in github.assets(dispatched["ref"]).iterdir()
    }
    assert f"{LINE[1]}" in github.release(dispatched["ref"])["body"]
    assert stage.schedule("watch.yml").code == 0
    assert github.dispatched() == [dispatched]


@pytest.mark.long
def test_failed_watch_opens_an_issue_and_the_next_success_closes_it(stage, recovered, github):
    assert recovered.code == 0
    change(
        stage, "release-targets.toml", lambda text: text.replace("versions", "version"), "Break the targets"
    )
    stage.push("main")
    failed = stage.schedule("watch.yml")
    assert failed.jobs == {"look": "failure", "report": "success"}, failed.text
    (issue,) = github.issues()
    assert (issue["state"], issue["title"]) == ("open", "Watch fails")
    change(
        stage, "release-targets.toml", lambda text: text.replace("version =", "versions ="), "Fix the targets"
    )
    stage.push("main")
    assert stage.schedule("watch.yml").code == 0
    (issue,) = github.issues()
    assert issue["state"] == "closed"


def test_tag_of_another_version_fails_the_plan_job(stage, first):
    tag = "v9.9.9"
    stage.git("tag", "-f", "-a", "-m", tag, tag, first[0] + "^{}")
    stage.push(f"refs/tags/{tag}")
    run = stage.push_tag(tag)
    assert run.code != 0
    assert {name for name, result in run.jobs.items() if result == "success"} == set()
    assert set(run.jobs) == {"plan"}
    assert "9.9.9" in run.log["plan"]
    assert stage.steps()[-1]["action"] == "checkout"  # no build step and no login ran
