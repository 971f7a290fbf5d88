"""Verify OpenPGP signatures of the Node.js release team with keys whose primary fingerprints are pinned.

Behaviour of pysequoia 0.1.35 (Sequoia's StandardPolicy), observed with keys of nodejs/release-keys and with
keys that GnuPG made under a faked clock:

- An expired key still verifies signatures from the time when it was valid: keys, subkeys and the signatures
  that bind them are judged as of the time that the signature states.
- A key whose self-signatures all use SHA-1 is rejected, whatever the time of the signature: a self-signature
  needs second preimage resistance, and SHA-1 counts as insecure for that since 2023-02-01. Some active
  releasers have such keys (8FCCA13F…, and of the retired ones DD8F2338… and 9554F04D…), so many releases
  cannot be verified this way.
- A key whose self-signatures are all newer than the signature is rejected (exports drop old ones).
- Data that was signed with SHA-1 is rejected. nodelayer does the same: a collision would forge a release.

In the second and third case the self-signature is not needed: it would prove that the primary key belongs to
the releaser, and the pinned fingerprint already says so. So this module itself checks signatures of such a
primary key (RSA, SHA-256 or better) as RFC 4880, 5.2.4 and 7.1, defines it, and no other signatures. GnuPG
agrees for 14.2.0, which has such a signature (tests/data).
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated

import msgspec
import pysequoia
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

from nodelayer.errors import NotVerifiedError

PINNED_ALONE = (
    "the signing key has only SHA-1 self-signatures from that time: trusted by its pinned fingerprint"
)

_TODO = "check the proxy and the mirror (NODELAYER_RELEASE_KEYS_URL for the keys), then try again"
_BROKEN = (RuntimeError, ValueError, TypeError)  # what pysequoia raises for invalid input
_SELF_SIGNATURES = (
    SignatureType.GenericCertification,
    SignatureType.PersonaCertification,
    SignatureType.CasualCertification,
    SignatureType.PositiveCertification,
    SignatureType.DirectKey,
)
_STRONG = {8: hashes.SHA256(), 9: hashes.SHA384(), 10: hashes.SHA512()}  # RFC 4880, 9.4
_RSA = (1, 3)  # RFC 4880, 9.1: encrypt or sign, sign only
_V4 = 4
_FEWEST_RSA_BITS = 2048
_SIGNED_TEXT = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:Hash: [^\r\n]*\r?\n)*\r?\n(.*?)\r?\n"
    rb"(-----BEGIN PGP SIGNATURE-----\r?\n.*)",
    flags=re.DOTALL,
)


IsoDate = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d\Z")]


class ReleaseKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A releaser's primary key: its fingerprint in upper-case hex, and the date by which it was retired.

    A retired key signs no new releases, so nobody would notice that it was stolen. It counts only for
    releases that were already out at that date.
    """

    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-F]{40}\Z")]
    retired: IsoDate | None = None

    def may_sign(self, released: str | None) -> bool:
        """Check whether the key may sign a release of this ISO 8601 date; None if the date is not known."""
        return self.retired is None or (released is not None and released <= self.retired)


class ReleaseKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of release_keys.json; `as_of` is an ISO 8601 date."""

    provenance: str
    as_of: IsoDate
    keys: Annotated[tuple[ReleaseKey, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Verified:
    """Who signed: a primary fingerprint in upper-case hex. `note` is for the build record."""

    fingerprint: str
    note: str | None = None


@dataclass(frozen=True)
class Key:
    """A public key (certificate) whose primary fingerprint is pinned."""

    fingerprint: str
    data: bytes
    certificate: pysequoia.Cert


@cache
def pinned_keys() -> tuple[ReleaseKey, ...]:
    """Return the bundled keys, those of active releasers first."""
    text = resources.files("nodelayer.node").joinpath("release_keys.json").read_text(encoding="utf-8")
    keys = msgspec.json.decode(text, type=ReleaseKeys).keys
    return tuple(sorted(keys, key=lambda key: key.retired is not None))


def load_key(data: bytes, fingerprint: str) -> Key:
    """Load an armored or binary key.

    Raises:
        NotVerifiedError: It is not a key, or it has another primary fingerprint.
    """
    try:
        certificate = pysequoia.Cert.from_bytes(data)
    except _BROKEN as error:
        raise NotVerifiedError("the download is not an OpenPGP key", where=fingerprint, todo=_TODO) from error
    found = certificate.fingerprint.upper()
    if found != fingerprint:
        raise NotVerifiedError(f"the key has another fingerprint: {found}", where=fingerprint, todo=_TODO)
    return Key(fingerprint, data, certificate)


def signer_among(signature: bytes, fingerprints: Sequence[str]) -> str | None:
    """Return the pinned fingerprint that a detached signature names; None for a subkey or another key.

    It is a hint for which key to download, and proves nothing.

    Raises:
        NotVerifiedError: It is not a signature.
    """
    found = _signature(signature)
    named = (found.issuer_fingerprint or found.issuer_key_id or "").upper()
    return next((each for each in fingerprints if named and each.endswith(named)), None)


def is_of(signature: bytes, keys: Sequence[Key]) -> bool:
    """Check whether a detached signature names one of these keys or their subkeys. It proves nothing."""
    found = _signature(signature)
    named = (found.issuer_fingerprint or found.issuer_key_id or "none").lower()
    parts = (packet.fingerprint or "" for key in keys for packet in PacketPile.from_bytes(key.data))
    return any(part.endswith(named) for part in parts)


def verify_detached(data: bytes, signature: bytes, keys: Sequence[Key], *, where: str) -> Verified:
    """Verify a detached signature of the data with these keys.

    Raises:
        NotVerifiedError: None of the keys signed the data.
    """
    found = _signature(signature)
    by_fingerprint = {key.fingerprint: key for key in keys}
    try:
        certificates = [key.certificate for key in keys]
        result = pysequoia.verify(bytes=data, store=lambda _: certificates, signature=found)
    except _BROKEN as error:
        for key in keys:
            if _signed_by_primary(data, signature, key, SignatureType.Binary):
                return Verified(key.fingerprint, PINNED_ALONE)
        raise _refused(found.hash_algorithm, where) from error
    return Verified(_signer(result, by_fingerprint, where))


def verify_cleartext(text: bytes, keys: Sequence[Key], *, where: str) -> tuple[bytes, Verified]:
    """Verify a cleartext signed message with these keys; return the signed data and the signer.

    Raises:
        NotVerifiedError: None of the keys signed the message.
    """
    by_fingerprint = {key.fingerprint: key for key in keys}
    try:
        certificates = [key.certificate for key in keys]
        result = pysequoia.verify(bytes=text, store=lambda _: certificates)
    except _BROKEN as error:
        parts = _SIGNED_TEXT.fullmatch(text)
        lines, signature = (_lines(parts[1]), parts[2]) if parts else ([], b"")
        for key in keys:
            if signature and _signed_by_primary(b"\r\n".join(lines), signature, key, SignatureType.Text):
                return b"\n".join(lines) + b"\n", Verified(key.fingerprint, PINNED_ALONE)
        raise _refused(None, where) from error
    if result.bytes is None:
        raise _refused(None, where)
    return result.bytes, Verified(_signer(result, by_fingerprint, where))


def _lines(text: bytes) -> list[bytes]:
    """Return the signed lines of a cleartext message (RFC 4880, 7.1): dashes unescaped, no trailing space."""
    return [line.removeprefix(b"- ").rstrip(b" \t\r") for line in text.split(b"\n")]


def _signature(data: bytes) -> pysequoia.Sig:
    try:
        return pysequoia.Sig.from_bytes(data)
    except _BROKEN as error:
        raise NotVerifiedError("the download is not an OpenPGP signature", todo=_TODO) from error


def _signer(result: pysequoia.Decrypted, keys: Mapping[str, Key], where: str) -> str:
    for signature in result.valid_sigs:
        signer = str(signature.certificate).upper()
        if signer in keys:
            return signer
    raise _refused(None, where)


def _refused(algorithm: HashAlgorithm | None, where: str) -> NotVerifiedError:
    if algorithm in (HashAlgorithm.SHA1, HashAlgorithm.MD5, HashAlgorithm.RipeMD):
        return NotVerifiedError(
            "the OpenPGP signature uses a broken hash algorithm (SHA-1 or older)",
            where=where,
            todo="choose another release, or pass --no-signature to verify the checksum only",
        )
    return NotVerifiedError(
        "the OpenPGP signature of the checksums does not match any pinned key of the Node.js release team",
        where=where,
        todo="update nodelayer, because the key may be new; if it fails again, do not use this mirror",
    )


def _signed_by_primary(data: bytes, signature: bytes, key: Key, kind: SignatureType) -> bool:
    """Check a signature of a primary RSA key that Sequoia cannot judge."""
    try:
        primary, *rest = PacketPile.from_bytes(key.data)
        signatures = [packet for packet in PacketPile.from_bytes(signature) if _tag(packet) == Tag.Signature]
        if (
            len(signatures) != 1
            or _tag(primary) != Tag.PublicKey
            or (primary.fingerprint or "").upper() != key.fingerprint
        ):
            return False
        return _may_sign(primary, rest, signatures[0]) and _rsa_valid(data, primary, signatures[0], kind)
    except _BROKEN:
        return False


def _tag(packet: Packet) -> Tag | None:
    """Return the type of a packet; None if pysequoia does not know it."""
    try:
        return packet.tag
    except _BROKEN:
        return None


def _may_sign(primary: Packet, rest: Sequence[Packet], signature: Packet) -> bool:
    """Check whether the self-signatures allow signing at that time, if Sequoia can use none of them."""
    key_id = (primary.fingerprint or "")[-16:]
    signatures = [packet for packet in rest if _tag(packet) == Tag.Signature]
    own = [
        packet
        for packet in signatures
        if key_id in ((packet.issuer_fingerprint or "")[-16:], packet.issuer_key_id)
    ]
    if any(packet.signature_type == SignatureType.KeyRevocation for packet in signatures):
        return False
    self_signatures = [packet for packet in own if packet.signature_type in _SELF_SIGNATURES]
    key_created, signed_at = primary.key_created, signature.signature_created
    if not self_signatures or key_created is None or signed_at is None or signed_at < key_created:
        return False
    expires = signature.signature_expiration_time
    if expires is not None and expires < dt.datetime.now(tz=dt.UTC):
        return False
    earlier = [each for each in self_signatures if (at := each.signature_created) and at <= signed_at]
    if any(packet.hash_algorithm != HashAlgorithm.SHA1 for packet in earlier):
        return False  # Sequoia could use it, so its rejection counts
    # An exported key may lack its older self-signatures; then the later ones decide.
    relevant = earlier or self_signatures
    periods = [packet.key_validity_period for packet in relevant]
    valid = any(not period or signed_at < key_created + period for period in periods)
    flags = [packet.key_flags for packet in relevant]
    return valid and any(flag is None or flag.signing for flag in flags)


def _rsa_valid(data: bytes, primary: Packet, signature: Packet, kind: SignatureType) -> bool:
    """Check a version 4 signature of this type by a version 4 key: RSASSA-PKCS1-v1_5."""
    rsa_key = primary.key_algorithm in (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSASign)
    body = signature.body
    if not rsa_key or body[2] not in _RSA or signature.signature_type != kind:
        return False
    if signature.signature_version != _V4 or primary.body[0] != _V4 or body[3] not in _STRONG:
        return False
    # version, type, key algorithm, hash algorithm, length of the hashed part; then the unhashed part
    hashed_end = 6 + int.from_bytes(body[4:6])
    other_end = hashed_end + 2 + int.from_bytes(body[hashed_end : hashed_end + 2])
    trailer = bytes((_V4, 0xFF)) + hashed_end.to_bytes(4)
    try:
        (signed,) = _numbers(body[other_end + 2 :], 1)
        # version, time (4 bytes), algorithm
        modulus, exponent = _numbers(primary.body[6:], 2)
        if modulus.bit_length() < _FEWEST_RSA_BITS:
            return False
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        number = signed.to_bytes((modulus.bit_length() + 7) // 8)
        key.verify(number, data + body[:hashed_end] + trailer, padding.PKCS1v15(), _STRONG[body[3]])
    except (ValueError, OverflowError, InvalidSignature):
        return False
    return True


def _numbers(data: bytes, count: int) -> list[int]:
    """Read exactly `count` multiprecision integers (RFC 4880, 3.2); raise ValueError for other data."""
    found: list[int] = []
    for _ in range(count):
        size = (int.from_bytes(data[:2]) + 7) // 8
        if len(data) < 2 + size:
            raise ValueError
        found.append(int.from_bytes(data[2 : 2 + size]))
        data = data[2 + size :]
    if data:
        raise ValueError
    return found
