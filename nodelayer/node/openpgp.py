"""OpenPGP signatures of Node.js's release team, believed only from keys whose primary fingerprint is pinned.

What pysequoia 0.1.35 (Sequoia's StandardPolicy) was seen to do, with keys of nodejs/release-keys and with
keys made by GnuPG under a faked clock:

- A key that has expired since still verifies what it signed while it was valid: keys, their subkeys and the
  signatures that bind them are judged as of the time the signature states.
- A key that vouches for itself with SHA-1 only is refused, whenever it signed: self-signatures need second
  preimage resistance, and SHA-1 counts as insecure for that since 2023-02-01. Active releasers have such
  keys (8FCCA13F…, and DD8F2338…, 9554F04D… among the retired): many releases cannot be verified that way.
- A key whose self-signatures are all newer than what it signed is refused for that (exports drop old ones).
- Data signed with SHA-1 is refused. So do we: a collision there forges a release.

For the second and third case the self-signature is not needed. What it would prove, that the primary key is
the releaser's, is what the pinned fingerprint says already. So a signature made by such a primary key itself,
RSA over SHA-256 or better, is checked here as RFC 4880 (5.2.4, 7.1) states it; no other is. GnuPG agrees on
the signature of 14.2.0, which is such a one (tests/data).
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec
import pysequoia
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

from nodelayer.errors import NotVerifiedError

PINNED_ALONE = (
    "the key that signed vouched for itself then with SHA-1 at best: its pinned fingerprint alone is believed"
)

_BROKEN = (RuntimeError, ValueError, TypeError)  # what pysequoia raises for anything it cannot take
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


class ReleaseKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A releaser's primary key: its fingerprint in upper-case hex, and whether it signs releases today."""

    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-F]{40}\Z")]
    status: Literal["active", "retired"]


class ReleaseKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of release_keys.json; `as_of` is an ISO 8601 date."""

    provenance: str
    as_of: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d\Z")]
    keys: Annotated[tuple[ReleaseKey, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Verified:
    """Who signed: a primary fingerprint in upper-case hex; `note` where there is more to say about it."""

    fingerprint: str
    note: str | None = None


@dataclass(frozen=True)
class Key:
    """A public key (certificate) whose primary fingerprint is pinned."""

    fingerprint: str
    data: bytes
    certificate: pysequoia.Cert


@cache
def pinned_fingerprints() -> tuple[str, ...]:
    """The primary fingerprints of the release team, upper-case hex, active ones first, as bundled."""
    text = resources.files("nodelayer.node").joinpath("release_keys.json").read_text(encoding="utf-8")
    keys = msgspec.json.decode(text, type=ReleaseKeys).keys
    return tuple(key.fingerprint for key in sorted(keys, key=lambda key: key.status))


def load_key(data: bytes, fingerprint: str) -> Key:
    """The key with this pinned fingerprint, armored or not. Raises NotVerifiedError for any other."""
    try:
        certificate = pysequoia.Cert.from_bytes(data)
    except _BROKEN as error:
        raise NotVerifiedError("what came is no OpenPGP key", where=fingerprint) from error
    found = certificate.fingerprint.upper()
    if found != fingerprint:
        raise NotVerifiedError(f"the key that came is another one: {found}", where=fingerprint)
    return Key(fingerprint, data, certificate)


def signer_among(signature: bytes, fingerprints: Sequence[str]) -> str | None:
    """The pinned fingerprint a detached signature names, or None where it names none: a subkey's, or nothing.

    It is a hint for what to fetch, and proves nothing. Raises NotVerifiedError for what is no signature.
    """
    found = _signature(signature)
    named = (found.issuer_fingerprint or found.issuer_key_id or "").upper()
    return next((each for each in fingerprints if named and each.endswith(named)), None)


def is_of(signature: bytes, keys: Sequence[Key]) -> bool:
    """Whether the key a detached signature names, a subkey maybe, is one of these; a hint, as above."""
    found = _signature(signature)
    named = (found.issuer_fingerprint or found.issuer_key_id or "none").lower()
    parts = (packet.fingerprint or "" for key in keys for packet in PacketPile.from_bytes(key.data))
    return any(part.endswith(named) for part in parts)


def verify_detached(data: bytes, signature: bytes, keys: Sequence[Key], *, where: str) -> Verified:
    """Who of these keys signed the data. Raises NotVerifiedError where none did."""
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
    return Verified(_believed(result, by_fingerprint, where))


def verify_cleartext(text: bytes, keys: Sequence[Key], *, where: str) -> tuple[bytes, Verified]:
    """The data of a cleartext signed message, and who of these keys signed it. Raises NotVerifiedError."""
    by_fingerprint = {key.fingerprint: key for key in keys}
    try:
        certificates = [key.certificate for key in keys]
        result = pysequoia.verify(bytes=text, store=lambda _: certificates)
    except _BROKEN as error:
        parts = _SIGNED_TEXT.fullmatch(text)
        lines, made = (_lines(parts[1]), parts[2]) if parts else ([], b"")
        for key in keys:
            if made and _signed_by_primary(b"\r\n".join(lines), made, key, SignatureType.Text):
                return b"\n".join(lines) + b"\n", Verified(key.fingerprint, PINNED_ALONE)
        raise _refused(None, where) from error
    if result.bytes is None:
        raise _refused(None, where)
    return result.bytes, Verified(_believed(result, by_fingerprint, where))


def _lines(text: bytes) -> list[bytes]:
    """The lines that a cleartext signature is over (RFC 4880, 7.1): dashes unescaped, no space at the end."""
    return [line.removeprefix(b"- ").rstrip(b" \t\r") for line in text.split(b"\n")]


def _signature(data: bytes) -> pysequoia.Sig:
    try:
        return pysequoia.Sig.from_bytes(data)
    except _BROKEN as error:
        raise NotVerifiedError("what came is no OpenPGP signature") from error


def _believed(result: pysequoia.Decrypted, keys: Mapping[str, Key], where: str) -> str:
    for signature in result.valid_sigs:
        signer = str(signature.certificate).upper()
        if signer in keys:
            return signer
    raise _refused(None, where)


def _refused(algorithm: HashAlgorithm | None, where: str) -> NotVerifiedError:
    if algorithm in (HashAlgorithm.SHA1, HashAlgorithm.MD5, HashAlgorithm.RipeMD):
        return NotVerifiedError(
            "the signature is over a broken hash (SHA-1 or older), which proves nothing",
            where=where,
            todo="take another release, or pass --no-signature to trust the checksum alone",
        )
    return NotVerifiedError(
        "the OpenPGP signature is not of a key of Node.js's release team, or not of these checksums",
        where=where,
        todo="try again; if it stays so, do not trust this host",
    )


def _signed_by_primary(data: bytes, signature: bytes, key: Key, kind: SignatureType) -> bool:
    """Whether a key that vouched for itself with SHA-1 at best signed with its primary key (RSA)."""
    try:
        primary, *rest = PacketPile.from_bytes(key.data)
        made = [packet for packet in PacketPile.from_bytes(signature) if packet.tag == Tag.Signature]
    except _BROKEN:
        return False
    if (
        len(made) != 1
        or primary.tag != Tag.PublicKey
        or (primary.fingerprint or "").upper() != key.fingerprint
    ):
        return False
    return _may_sign(primary, rest, made[0]) and _rsa_holds(data, primary, made[0], kind)


def _may_sign(primary: Packet, rest: Sequence[Packet], made: Packet) -> bool:
    """Whether the primary key's own words let it sign at that time, none of them fit for Sequoia to judge."""
    of_key = (primary.fingerprint or "")[-16:]
    signatures = [packet for packet in rest if packet.tag == Tag.Signature]
    own = [
        packet
        for packet in signatures
        if of_key in ((packet.issuer_fingerprint or "")[-16:], packet.issuer_key_id)
    ]
    if any(packet.signature_type == SignatureType.KeyRevocation for packet in signatures):
        return False
    words = [packet for packet in own if packet.signature_type in _SELF_SIGNATURES]
    born, when = primary.key_created, made.signature_created
    if not words or born is None or when is None or when < born:
        return False
    ends = made.signature_expiration_time
    if ends is not None and ends < dt.datetime.now(tz=dt.UTC):
        return False
    then = [packet for packet in words if packet.signature_created and packet.signature_created <= when]
    if any(packet.hash_algorithm != HashAlgorithm.SHA1 for packet in then):
        return False  # Sequoia has judged by it
    # A key exported without its older self-signatures has none of that time; its later ones speak for it.
    lasting = [packet.key_validity_period for packet in then or words]
    alive = any(not period or when < born + period for period in lasting)
    flags = [packet.key_flags for packet in then or words]
    return alive and any(flag is None or flag.signing for flag in flags)


def _rsa_holds(data: bytes, primary: Packet, made: Packet, kind: SignatureType) -> bool:
    """RSASSA-PKCS1-v1_5 of a version 4 signature of that type by a version 4 key."""
    rsa_key = primary.key_algorithm in (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSASign)
    body = made.body
    if not rsa_key or body[2] not in _RSA or made.signature_type != kind:
        return False
    if made.signature_version != _V4 or primary.body[0] != _V4 or body[3] not in _STRONG:
        return False
    # version, type, key algorithm, hash algorithm, length of the hashed part; the same for the other part
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
    """So many multiprecision integers (RFC 4880, 3.2), and nothing after them. Raises ValueError."""
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
