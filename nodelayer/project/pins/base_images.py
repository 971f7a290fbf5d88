"""Pin the base images of nodelayer/layer/base_images.json and docker/Dockerfile to what their tags name.

    python nodelayer/project/pins/base_images.py --compare     exit 1 where a pinned digest is not the tag's
    python nodelayer/project/pins/base_images.py --write

A registry gives the index of a tag to everybody, for a token that everybody gets (OCI Distribution Spec,
"Pulling manifests"; CNCF Distribution, "Token Authentication Specification"). The digest is the hash of what
came, and has to be the one the registry says. Nothing is pulled, and no Docker is needed.
"""

import argparse
import datetime as dt
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import requests
from requests.utils import parse_dict_header

from nodelayer import architecture
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NotFoundError,
    NotVerifiedError,
    UnreachableError,
)
from nodelayer.project.pins import run as refresh
from nodelayer.util.http import Web, shown

ROOT = Path(__file__).resolve().parents[3]
PROVENANCE = (
    "Digest of the index (amd64 and arm64) that each tag of Amazon Linux's public registry named on that "
    "day. Refreshed by nodelayer/project/pins/base_images.py."
)

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MOST_BYTES = (
    4_000_000  # "registries SHOULD accept manifests of at least 4 megabytes", says the specification
)
_REFERENCE = re.compile(
    r"(?P<host>[^/@]+)/(?P<name>[^:@]+):(?P<tag>[\w.-]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_TODO = "check the network and its proxies, or name a mirror with --registry"


@dataclass(frozen=True)
class Image:
    """A tag of a repository of a registry, and the digest it is pinned to, if it is."""

    host: str
    name: str
    tag: str
    digest: str | None

    @classmethod
    def parse(cls, reference: str) -> "Image":
        """Raises InvalidInputError."""
        found = _REFERENCE.fullmatch(reference)
        if not found:
            raise InvalidInputError("no host/name:tag[@sha256:…]", where=reference, todo="mend it by hand")
        return cls(**found.groupdict())

    @property
    def tagged(self) -> str:
        return f"{self.host}/{self.name}:{self.tag}"


class Registry:
    """A registry that lets everybody pull: https at the image's own host, or wherever `base` says."""

    def __init__(self, web: Web, base: str | None = None) -> None:
        self._web = web
        self._base = base

    def digest(self, image: Image) -> str:
        """The digest of the index that the tag names, which has every architecture we build for.

        Raises NotFoundError, NotVerifiedError or UnreachableError.
        """
        base = (self._base or f"https://{image.host}").rstrip("/")
        url = f"{base}/v2/{image.name}/manifests/{image.tag}"
        status, headers, data = self._get(url, {"Accept": ", ".join(_INDEXES)})
        if status == HTTPStatus.UNAUTHORIZED:
            token = self._token(headers.get("WWW-Authenticate", ""), url)
            wanted = {"Accept": ", ".join(_INDEXES), "Authorization": f"Bearer {token}"}
            status, headers, data = self._get(url, wanted)
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(
                "no such tag, or no index of it", where=image.tagged, todo="look what there is"
            )
        if status != HTTPStatus.OK:
            raise UnreachableError(f"the registry answers {status}", where=shown(url), todo=_TODO)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if headers.get("Docker-Content-Digest") != digest:
            raise NotVerifiedError(
                "what came does not have the digest that the registry says", where=image.tagged, todo=_TODO
            )
        if lacking := sorted(
            {each.docker for each in architecture.ALL} - set(_platforms(data, headers, image))
        ):
            raise NotVerifiedError(f"an index without {', '.join(lacking)}", where=image.tagged)
        return digest

    def _token(self, challenge: str, url: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        asked: dict[str, str | None] = parse_dict_header(rest)  # type: ignore[no-untyped-call]
        realm = asked.get("realm") or ""
        if scheme.lower() != "bearer" or not realm.startswith(("https://", f"{url.partition('//')[0]}//")):
            raise UnreachableError("it does not say where a token is had", where=shown(url), todo=_TODO)
        query = {key: asked[key] for key in ("service", "scope") if asked.get(key)}
        status, _, data = self._get(f"{realm}?{urlencode(query)}", {})
        try:
            given = json.loads(data)
            return str(given.get("token") or given["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise UnreachableError(f"it gives no token ({status})", where=shown(realm), todo=_TODO) from error

    def _get(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        with self._web.stream(url, headers, also=(HTTPStatus.UNAUTHORIZED,)) as response:
            try:
                data = bytearray()
                for chunk in response.iter_content(1 << 16):
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        raise NotVerifiedError(
                            "far too long for what was asked", where=shown(url), todo=_TODO
                        )
            except requests.RequestException as error:
                raise UnreachableError("the connection broke", where=shown(url), todo=_TODO) from error
            return response.status_code, response.headers, bytes(data)


def _platforms(data: bytes, headers: Mapping[str, str], image: Image) -> Iterator[str]:
    try:
        index = json.loads(data)
        kind = index.get("mediaType") or headers.get("Content-Type", "nothing that it says")
        if kind not in _INDEXES:
            raise NotVerifiedError(f"no index but {kind}", where=image.tagged)
        for each in index["manifests"]:
            yield f"{each['platform']['os']}/{each['platform']['architecture']}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotVerifiedError("no index of images", where=image.tagged) from error


def rendered(images: Mapping[str, str], today: dt.date) -> str:
    """The resource as JSON."""
    content = {"provenance": PROVENANCE, "as_of": today.isoformat(), "images": images}
    return json.dumps(content, indent=2) + "\n"


def run(arguments: Sequence[str], *, root: Path = ROOT) -> int:
    """The command; returns its exit code. Raises NodelayerError."""
    parser = argparse.ArgumentParser(description="Pin the base images to what their tags name now.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", action="store_true", help="print what differs; exit 1 where anything does")
    what.add_argument("--write", action="store_true", help="pin what the tags name now, where it differs")
    parser.add_argument("--registry", metavar="URL", help="ask this address instead of each image's host")
    options = parser.parse_args(arguments)

    resource, dockerfile = (
        root / "nodelayer" / "layer" / "base_images.json",
        root / "docker" / "Dockerfile",
    )
    images = _bundled(resource)
    with Web(todo=_TODO) as web:
        registry = Registry(web, options.registry)
        newest = {tagged: registry.digest(image) for tagged, image in sorted(_tags(images).items())}
    pinned = {name: f"{image.tagged}@{newest[image.tagged]}" for name, image in images.items()}
    told = [
        f"~ {tagged} {image.digest or 'without a digest'} -> {newest[tagged]}"
        for tagged, image in sorted(_tags(images).items())
        if image.digest != newest[tagged]
    ]
    before = _text(dockerfile)
    after = re.sub(
        r"(?m)^(ARG BASE_IMAGE=)(\S+)$",
        lambda found: f"{found[1]}{_repinned(Image.parse(found[2]), newest)}",
        before,
    )
    if after != before and not told:
        told = ["~ docker/Dockerfile pins another digest than nodelayer/layer/base_images.json"]
    print("\n".join(told) or "the base images are what their tags name")
    if options.compare or not told:
        return 1 if told else 0
    try:
        dockerfile.write_text(after, encoding="utf-8")
        resource.write_text(rendered(pinned, dt.datetime.now(tz=dt.UTC).date()), encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=str(error.filename)) from error
    return 0


def _tags(images: Mapping[str, Image]) -> dict[str, Image]:
    return {image.tagged: image for image in images.values()}


def _repinned(image: Image, newest: Mapping[str, str]) -> str:
    if image.tagged not in newest:
        raise InvalidInputError(
            f"{image.tagged} is in docker/Dockerfile alone",
            where="base_images.json",
            todo="name it there too",
        )
    return f"{image.tagged}@{newest[image.tagged]}"


def _bundled(path: Path) -> dict[str, Image]:
    try:
        images = json.loads(_text(path))["images"]
        return {name: Image.parse(reference) for name, reference in images.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            "not a list of base images", where=path.name, todo="check it out anew"
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot be read: {error.strerror}", where=str(path)) from error


if __name__ == "__main__":
    sys.exit(refresh.typed(run))
