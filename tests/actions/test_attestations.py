"""`gh attestation verify`, as in docs/security.md, with files signed by the test Sigstore."""

import json
import os
import subprocess

import pytest
from actions.sigstore import CYCLONEDX, Workflow
from support import Outcome

from actions import sigstore

REPOSITORY = "OWNER/nodelayer"
RELEASE = f"{REPOSITORY}/.github/workflows/release.yml"
TAG = "refs/tags/v1.2.3"
SHA = "0123456789abcdef0123456789abcdef01234567"
STRICT = ("--signer-workflow", RELEASE, "--source-ref", TAG)
UNREACHABLE = "http://127.0.0.1:9"

pytestmark = [pytest.mark.network, pytest.mark.full]


@pytest.fixture(scope="module")
def signers(tmp_path_factory):
    return sigstore.make(tmp_path_factory.mktemp("signers") / "sigstore")


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A zip with its build record and its SBOM; gh reads only their digests."""
    out = tmp_path_factory.mktemp("release") / "dist"
    out.mkdir()
    (out / "nodejs-12.16.1-x86_64.zip").write_bytes(os.urandom(10_000))
    (out / "nodejs-12.16.1-x86_64.json").write_text("{}")
    (out / "nodejs-12.16.1-x86_64.cdx.json").write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6"}')
    return out


@pytest.fixture(scope="module")
def layer(dist):
    return dist / "nodejs-12.16.1-x86_64.zip"


@pytest.fixture(scope="module")
def bundle(signers, dist):
    """Return a function that signs files or their SBOM and returns the bundle."""

    def signed(*subjects, sbom=None, by=signers, **workflow):
        run = Workflow(**{"repository": REPOSITORY, "file": "release.yml", "ref": TAG, "sha": SHA} | workflow)
        statement = (sigstore.PROVENANCE, sigstore.provenance(run))
        if sbom:
            statement = (CYCLONEDX, json.loads(sbom.read_bytes()))
        made = dist.parent / f"bundle-{len([*dist.parent.glob('bundle-*')])}.jsonl"
        made.write_text(json.dumps(sigstore.attest(by, subjects, *statement, run)) + "\n")
        return made

    return signed


@pytest.fixture(scope="module")
def verify(gh, signers, tmp_path_factory):
    """Return a function that runs gh without an account and without a network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GH_", "GITHUB_"))}
    alone = {
        "GH_CONFIG_DIR": str(tmp_path_factory.mktemp("gh")),
        "HTTPS_PROXY": UNREACHABLE,
        "HTTP_PROXY": UNREACHABLE,
    }

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


def test_layer_of_the_release_workflow_is_verified_without_a_network(layer, dist, bundle, verify):
    signed = bundle(*sorted(dist.iterdir()))
    outcome = verify(layer, signed, *STRICT, "--source-digest", SHA, "--deny-self-hosted-runners")
    assert outcome.code == 0, outcome.err
    (found,) = json.loads(outcome.out)
    result = found["verificationResult"]
    certificate = result["signature"]["certificate"]
    assert certificate["subjectAlternativeName"] == f"https://github.com/{RELEASE}@{TAG}"
    assert certificate["sourceRepositoryDigest"] == SHA
    assert certificate["runInvocationURI"].startswith(f"https://github.com/{REPOSITORY}/actions/runs/")
    assert [each["type"] for each in result["verifiedTimestamps"]] == ["Tlog"]
    external = result["statement"]["predicate"]["buildDefinition"]["externalParameters"]
    assert external["workflow"]["path"] == ".github/workflows/release.yml"


def test_a_file_with_one_byte_changed_is_refused(layer, bundle, verify, tmp_path):
    changed = bytearray(layer.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / layer.name).write_bytes(changed)
    signed = bundle(layer)
    assert verify(layer, signed).code == 0
    assert refused(verify(tmp_path / layer.name, signed), "verifying with issuer")


@pytest.mark.parametrize(
    ("signed_by", "why"),
    [
        ({"repository": "OTHER/nodelayer"}, "verifying with issuer"),
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
def test_a_signature_of_another_workflow_or_ref_is_refused(signed_by, why, layer, bundle, verify):
    assert refused(verify(layer, bundle(layer, **signed_by), *STRICT), why)


def test_signature_of_another_authority_with_the_same_name_is_refused(layer, bundle, verify, tmp_path):
    other_authority = sigstore.make(tmp_path / "other")
    assert refused(verify(layer, bundle(layer, by=other_authority)), "verifying with issuer")


def test_sbom_beside_the_zip_equals_the_attested_sbom(layer, bundle, verify):
    sbom = layer.with_suffix(".cdx.json")
    signed = bundle(layer, sbom=sbom)
    outcome = verify(layer, signed, *STRICT, "--predicate-type", CYCLONEDX)
    assert outcome.code == 0, outcome.err
    (found,) = json.loads(outcome.out)
    assert found["verificationResult"]["statement"]["predicate"] == json.loads(sbom.read_bytes())
    assert refused(verify(layer, signed), "https://slsa.dev/provenance/v1")
