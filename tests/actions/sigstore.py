"""A Sigstore for tests: it signs attestations that `gh attestation verify` accepts as those of GitHub.

It signs as sigstore.dev does for public repositories: with an entry in a transparency log and one in a log of
certificates. trusted_root.jsonl names its authorities, as `gh attestation trusted-root` prints them.

Formats: https://github.com/sigstore/protobuf-specs and https://github.com/sigstore/fulcio, docs/oid-info.md
https://github.com/actions/toolkit, packages/attest · https://www.rfc-editor.org/rfc/rfc6962, section 3
"""

import base64
import datetime as dt
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

ORGANIZATION = "sigstore.dev"
"""By the organization of a certificate's issuer, gh chooses which evidence a signature needs."""
PROVENANCE = "https://slsa.dev/provenance/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
ROOTS = "trusted_root.jsonl"

_SERVER = "https://github.com"
_REKOR = "rekor.sigstore.dev"
_FULCIO_OID = "1.3.6.1.4.1.57264.1"
_SCTS_OID = "1.3.6.1.4.1.11129.2.4.2"
_STATEMENT = "application/vnd.in-toto+json"
_A_MINUTE = dt.timedelta(minutes=1)
_VALID = dt.timedelta(minutes=10)  # of a certificate of Fulcio's


@dataclass(frozen=True)
class Workflow:
    """Who signs: what GitHub's OIDC token says of a run."""

    repository: str
    file: str
    ref: str
    sha: str
    event: str = "push"

    @property
    def source(self):
        return f"{_SERVER}/{self.repository}"

    @property
    def path(self):
        return f".github/workflows/{self.file}"

    @property
    def uri(self):
        return f"{self.source}/{self.path}@{self.ref}"

    @property
    def run(self):
        return f"{self.source}/actions/runs/1234567890/attempts/1"


def make(folder):
    """Create the authorities in a folder, unless it exists. Returns it."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    (fresh / ROOTS).write_text(json.dumps(_make_authorities(fresh)) + "\n")
    try:
        fresh.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(fresh)
    return folder


def attest(folder, subjects, predicate_type, predicate, workflow):
    """A Sigstore bundle that says this of these files, signed for the workflow."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": path.name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}
            for path in subjects
        ],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    payload = json.dumps(statement, separators=(",", ":")).encode()
    make(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate_of(workflow, key.public_key(), folder)
    signature = _sign(
        key, b"DSSEv1 %d %b %d %b" % (len(_STATEMENT), _STATEMENT.encode(), len(payload), payload)
    )
    envelope = {
        "payload": _b64(payload),
        "payloadType": _STATEMENT,
        "signatures": [{"sig": _b64(signature)}],
    }
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "tlogEntries": [_logged(envelope, certificate, folder)],
            "timestampVerificationData": {},
            "certificate": {"rawBytes": _b64(_der(certificate))},
        },
        "dsseEnvelope": envelope,
    }


def provenance(workflow):
    """Return the SLSA provenance of a run: what actions/attest writes, without its internal parameters."""
    return {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {"ref": workflow.ref, "repository": workflow.source, "path": workflow.path}
            },
            "resolvedDependencies": [
                {"uri": f"git+{workflow.source}@{workflow.ref}", "digest": {"gitCommit": workflow.sha}}
            ],
        },
        "runDetails": {"builder": {"id": workflow.uri}, "metadata": {"invocationId": workflow.run}},
    }


def _make_authorities(folder):
    """Create the authorities, and return the line of the trusted root that names them."""
    root_key, ca_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    root_name, ca_name = _name("root"), _name("intermediate")
    root = _issue(root_name, root_key.public_key(), root_name, root_key, _authority(1))
    ca = _issue(
        ca_name,
        ca_key.public_key(),
        root_name,
        root_key,
        _authority(0),
        _usage(ExtendedKeyUsageOID.CODE_SIGNING),
    )
    _keep(folder, "ca", ca_key, ca)
    return {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": [
            {
                "subject": {"organization": ORGANIZATION, "commonName": "example"},
                "uri": "https://fulcio.example.org",
                "certChain": {"certificates": [{"rawBytes": _b64(_der(each))} for each in (ca, root)]},
                "validFor": {"start": _from_now()},
            }
        ],
        "tlogs": [_make_log(folder, "rekor", _REKOR)],
        "ctlogs": [_make_log(folder, "ct", "ct.example.org")],
    }


def _make_log(folder, name, host):
    key = ec.generate_private_key(ec.SECP256R1())
    _keep(folder, name, key)
    public = _public(key.public_key())
    return {
        "baseUrl": f"https://{host}",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _b64(public),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": _from_now()},
        },
        "logId": {"keyId": _b64(_sha256(public))},
    }


def _certificate_of(workflow, public_key, folder):
    """What Fulcio gives for GitHub's token: ten minutes for a new key, and the run's claims as extensions."""
    ca_key, ca = _kept(folder, "ca")
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(workflow.uri)])
    extensions = [
        _signs_only(),
        _usage(ExtendedKeyUsageOID.CODE_SIGNING, critical=False),
        (san, True),
        *(
            (x509.UnrecognizedExtension(ObjectIdentifier(oid), value), False)
            for oid, value in _claims(workflow)
        ),
    ]
    issued = (x509.Name([]), public_key, ca.subject, ca_key)
    serial, valid = x509.random_serial_number(), (_now(), _now() + _VALID)
    certificate = _issue(*issued, *extensions, serial=serial, valid=valid)
    promises = x509.UnrecognizedExtension(ObjectIdentifier(_SCTS_OID), _promise(certificate, ca, folder))
    return _issue(*issued, *extensions, (promises, False), serial=serial, valid=valid)


def _claims(workflow):
    """The extensions of Fulcio: its own first ones are bare text, the later ones UTF8String."""
    issuer = "https://token.actions.githubusercontent.com"
    bare = [issuer, workflow.event, workflow.sha, "Release", workflow.repository, workflow.ref]
    text = {
        8: issuer,
        9: workflow.uri,
        10: workflow.sha,
        11: "github-hosted",
        12: workflow.source,
        13: workflow.sha,
        14: workflow.ref,
        15: "1",
        16: workflow.source.rpartition("/")[0],
        17: "2",
        18: workflow.uri,
        19: workflow.sha,
        20: workflow.event,
        21: workflow.run,
        22: "public",
    }
    yield from ((f"{_FULCIO_OID}.{number}", value.encode()) for number, value in enumerate(bare, 1))
    yield from ((f"{_FULCIO_OID}.{number}", _tagged(0x0C, value.encode())) for number, value in text.items())


def _promise(certificate, ca, folder):
    """The log of certificates has seen it: a SignedCertificateTimestampList of one (RFC 6962, 3.3)."""
    key, _ = _kept(folder, "ct")
    when = int(_now().timestamp() * 1000).to_bytes(8)
    body = certificate.tbs_certificate_bytes
    entry = _sha256(_public(ca.public_key())) + len(body).to_bytes(3) + body
    signature = _sign(key, b"\0\0" + when + b"\0\1" + entry + b"\0\0")
    promise = b"\0" + _sha256(_public(key.public_key())) + when + b"\0\0" + b"\4\3" + _counted(signature)
    return _tagged(0x04, _counted(_counted(promise)))


def _logged(envelope, certificate, folder):
    """Rekor's entry of the signature: the second of a log, with the proof that it is in there."""
    key, _ = _kept(folder, "rekor")
    public = _public(key.public_key())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    body = _canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": _hash(_canonical(envelope)),
                "payloadHash": _hash(base64.b64decode(envelope["payload"])),
                "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": _b64(pem)}],
            },
        }
    )
    when = int(_now().timestamp())
    first = _sha256(b"\0the first entry")
    top = _b64(_sha256(b"\1" + first + _sha256(b"\0" + body)))
    note = f"{_REKOR} - 1\n2\n{top}\n"
    signed = _b64(_sha256(public)[:4] + _sign(key, note.encode()))
    entry = {"body": _b64(body), "integratedTime": when, "logID": _sha256(public).hex(), "logIndex": 1}
    return {
        "logIndex": "1",
        "logId": {"keyId": _b64(_sha256(public))},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": str(when),
        "inclusionPromise": {"signedEntryTimestamp": _b64(_sign(key, _canonical(entry)))},
        "inclusionProof": {
            "logIndex": "1",
            "rootHash": top,
            "treeSize": "2",
            "hashes": [_b64(first)],
            "checkpoint": {"envelope": f"{note}\n— {_REKOR} {signed}\n"},
        },
        "canonicalizedBody": _b64(body),
    }


def _issue(subject, public_key, issuer, key, *extensions, serial=None, valid=None):  # noqa: PLR0913
    start, end = valid or (_now() - _A_MINUTE, _now() + dt.timedelta(days=3650))
    builder = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=public_key,
        serial_number=serial or x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=end,
    )
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    issuers = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    for extension, critical in (*extensions[:1], (own, False), (issuers, False), *extensions[1:]):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA384())


def _authority(below):
    return x509.BasicConstraints(ca=True, path_length=below), True


def _usage(purpose, *, critical=True):
    return x509.ExtendedKeyUsage([purpose]), critical


def _signs_only():
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign")
    others += ("crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=True, **dict.fromkeys(others, False)), True


def _name(what):
    parts = ((NameOID.ORGANIZATION_NAME, ORGANIZATION), (NameOID.COMMON_NAME, f"sigstore-{what} of a test"))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _keep(folder, name, key, certificate=None):
    pem, pkcs8, bare = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, pkcs8, bare))
    if certificate:
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))


def _kept(folder, name):
    key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    certificate = folder / f"{name}.pem"
    return key, x509.load_pem_x509_certificate(certificate.read_bytes()) if certificate.exists() else None


def _sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _tagged(tag, data):
    """DER: the tag, the length, the data."""
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8)
    length = size if len(data) < 0x80 else bytes([0x80 | len(size)]) + size
    return bytes([tag]) + length + data


def _counted(data):
    return len(data).to_bytes(2) + data


def _hash(data):
    return {"algorithm": "sha256", "value": _sha256(data).hex()}


def _canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data):
    return hashlib.sha256(data).digest()


def _b64(data):
    return base64.b64encode(data).decode()


def _der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def _public(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _now():
    return dt.datetime.now(dt.UTC)


def _from_now():
    return f"{_now() - _A_MINUTE:%Y-%m-%dT%H:%M:%SZ}"
