"""What a consumer is told by `gh attestation verify`, of a real layer, signed by a Sigstore of our own."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from actions.sigstore import CYCLONEDX, PRIVATE, PUBLIC, Workflow
from support import Outcome, command, environment

from actions import sigstore
from nodelayer import architecture

REPOSITORY = "OWNER/nodelayer"
RELEASE = f"{REPOSITORY}/.github/workflows/release.yml"
TAG = "refs/tags/v1.2.3"
SHA = "0123456789abcdef0123456789abcdef01234567"
STRICT = ("--signer-workflow", RELEASE, "--source-ref", TAG)
NOBODY = "http://127.0.0.1:9"

pytestmark = pytest.mark.network

each_instance = pytest.mark.parametrize("visibility", [PUBLIC, PRIVATE])


@pytest.fixture(scope="module")
def signers(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("the timestamps need openssl, not installed here")
    return sigstore.make(tmp_path_factory.mktemp("signers") / "sigstore")


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A real layer with its build record and its SBOM."""
    if architecture.of_host() != architecture.X86_64:
        pytest.skip("what is built and run here is for x86_64")
    out = tmp_path_factory.mktemp("release") / "dist"
    flags = ("--node=12.16.1", "--builder=local", "--source=npm", "--compression=fast", f"--out={out}")
    done = subprocess.run(
        command("build-layer", *flags),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def layer(dist):
    return dist / "nodejs-12.16.1-x86_64.zip"


@pytest.fixture(scope="module")
def bundle(signers, dist):
    """Sign files of the release, or their SBOM, as a step of a workflow; give the bundle's file."""

    def signed(*subjects, sbom=None, by=signers, **workflow):
        run = Workflow(**{"repository": REPOSITORY, "file": "release.yml", "ref": TAG, "sha": SHA} | workflow)
        flags = ("--repository", run.repository, "--workflow", run.file, "--ref", run.ref, "--sha", run.sha)
        flags += ("--private",) if run.visibility == PRIVATE else ()
        flags += ("--sbom", sbom) if sbom else ()
        made = dist.parent / f"bundle-{len([*dist.parent.glob('bundle-*')])}.jsonl"
        line = [
            sys.executable,
            sigstore.__file__,
            "attest",
            by,
            "--subject",
            *subjects,
            *flags,
            "--out",
            made,
        ]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{made}\n"), done.stderr
        return made

    return signed


@pytest.fixture(scope="module")
def verify(gh, signers, tmp_path_factory):
    """gh without an account and without a network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GH_", "GITHUB_"))}
    alone = {"GH_CONFIG_DIR": str(tmp_path_factory.mktemp("gh")), "HTTPS_PROXY": NOBODY, "HTTP_PROXY": NOBODY}

    def verified(file, bundle, *flags, repository=REPOSITORY):
        line = [gh, "attestation", "verify", file, "--repo", repository, "--bundle", bundle]
        line += ["--custom-trusted-root", signers / sigstore.ROOTS, "--format", "json", *flags]
        done = subprocess.run(
            line, env=kept | alone, capture_output=True, text=True, timeout=120, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return verified


def refused(outcome, why):
    assert outcome.code == 1, outcome.out
    assert outcome.out == ""
    assert why in outcome.err
    return True


@each_instance
def test_a_layer_that_the_tag_s_workflow_built_is_verified_without_a_network(
    visibility, layer, dist, bundle, verify
):
    signed = bundle(*sorted(dist.iterdir()), visibility=visibility)
    outcome = verify(layer, signed, *STRICT, "--source-digest", SHA, "--deny-self-hosted-runners")
    assert outcome.code == 0, outcome.err
    (found,) = json.loads(outcome.out)
    result = found["verificationResult"]
    certificate = result["signature"]["certificate"]
    assert certificate["subjectAlternativeName"] == f"https://github.com/{RELEASE}@{TAG}"
    assert certificate["sourceRepositoryDigest"] == SHA
    assert certificate["runInvocationURI"].startswith(f"https://github.com/{REPOSITORY}/actions/runs/")
    assert [each["type"] for each in result["verifiedTimestamps"]] == [
        "Tlog" if visibility == PUBLIC else "TimestampAuthority"
    ]
    external = result["statement"]["predicate"]["buildDefinition"]["externalParameters"]
    assert external["workflow"]["path"] == ".github/workflows/release.yml"


@each_instance
def test_every_file_of_the_release_is_verified_by_the_one_bundle(visibility, dist, bundle, verify):
    files = sorted(dist.iterdir())
    assert {each.suffix for each in files} == {".zip", ".json"}
    signed = bundle(*files, visibility=visibility)
    assert [verify(file, signed, *STRICT).code for file in files] == [0] * len(files)


@each_instance
def test_a_file_with_one_byte_changed_is_refused(visibility, layer, bundle, verify, tmp_path):
    changed = bytearray(layer.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / layer.name).write_bytes(changed)
    signed = bundle(layer, visibility=visibility)
    assert verify(layer, signed).code == 0
    assert refused(verify(tmp_path / layer.name, signed), "verifying with issuer")


def test_another_file_s_bundle_is_refused(layer, bundle, verify):
    assert refused(verify(layer, bundle(layer.with_suffix(".json"))), "verifying with issuer")


@pytest.mark.parametrize(
    ("signed_by", "why"),
    [
        ({"repository": "SOMEBODY/nodelayer"}, "verifying with issuer"),
        ({"repository": "OWNER/another"}, "verifying with issuer"),
        ({"file": "ci.yml"}, "verifying with issuer"),
        (
            {"ref": "refs/heads/main"},
            "expected SourceRepositoryRef to be refs/tags/v1.2.3, got refs/heads/main",
        ),
        ({"ref": "refs/tags/v1.2.2"}, "expected SourceRepositoryRef"),
    ],
    ids=str,
)
def test_what_something_else_has_signed_is_refused(signed_by, why, layer, bundle, verify):
    assert refused(verify(layer, bundle(layer, **signed_by), *STRICT), why)


def test_without_the_workflow_and_the_tag_another_branch_s_workflow_would_do(layer, bundle, verify):
    """Why docs/security.md names both flags."""
    signed = bundle(layer, file="ci.yml", ref="refs/heads/topic")
    assert verify(layer, signed).code == 0
    assert verify(layer, signed, *STRICT).code == 1


@each_instance
def test_an_authority_that_calls_itself_the_same_is_refused(visibility, layer, bundle, verify, tmp_path):
    impostor = sigstore.make(tmp_path / "impostor")
    assert refused(verify(layer, bundle(layer, by=impostor, visibility=visibility)), "verifying with issuer")


@each_instance
def test_a_statement_changed_after_it_was_signed_is_refused(visibility, layer, bundle, verify, tmp_path):
    other = tmp_path / "other.zip"
    other.write_bytes(b"something else")
    mine, others = (json.loads(bundle(each, visibility=visibility).read_bytes()) for each in (layer, other))
    others["dsseEnvelope"]["payload"] = mine["dsseEnvelope"]["payload"]
    (tmp_path / "forged.jsonl").write_text(json.dumps(others) + "\n")
    assert refused(verify(layer, tmp_path / "forged.jsonl"), "verifying with issuer")


@each_instance
def test_a_signature_that_nobody_has_witnessed_is_refused(visibility, layer, bundle, verify, tmp_path):
    signed = json.loads(bundle(layer, visibility=visibility).read_bytes())
    signed["verificationMaterial"] |= {"tlogEntries": [], "timestampVerificationData": {}}
    (tmp_path / "unseen.jsonl").write_text(json.dumps(signed) + "\n")
    assert refused(verify(layer, tmp_path / "unseen.jsonl"), "verifying with issuer")


@each_instance
def test_the_bill_of_materials_that_was_attested_is_the_file_beside_the_zip(
    visibility, layer, bundle, verify
):
    sbom = layer.with_suffix(".cdx.json")
    signed = bundle(layer, sbom=sbom, visibility=visibility)
    outcome = verify(layer, signed, *STRICT, "--predicate-type", CYCLONEDX)
    assert outcome.code == 0, outcome.err
    (found,) = json.loads(outcome.out)
    assert found["verificationResult"]["statement"]["predicate"] == json.loads(sbom.read_bytes())
    assert refused(verify(layer, signed), "https://slsa.dev/provenance/v1")


def test_signers_are_made_once_whoever_asks(tmp_path):
    folder = tmp_path / "sigstore"
    line = [sys.executable, sigstore.__file__, "make", str(folder)]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = {each.communicate(timeout=60)[0] for each in running}
    assert told == {f"{folder / sigstore.ROOTS}\n"}
    before = (folder / sigstore.ROOTS).read_bytes()
    assert sigstore.make(folder) == folder
    assert (folder / sigstore.ROOTS).read_bytes() == before
    assert [*tmp_path.iterdir()] == [folder]
