"""Base images in nodelayer/layer/base_images.json and docker/Dockerfile, pinned by digest.

The registry returns the index of a tag for an anonymous token (OCI Distribution Spec, "Pulling manifests";
CNCF Distribution, "Token Authentication Specification"). The digest is the hash of the answer, and must be
the one that the registry reports. No image is pulled, and Docker is not needed.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import requests
from requests.utils import parse_dict_header

from nodelayer import architecture
from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.project.pins.pin import Changes, Pin, differences, expected_format, resource
from nodelayer.util.http import Web, shown
from nodelayer.util.json_text import loads

FILE = "nodelayer/layer/base_images.json"
DOCKERFILE = "docker/Dockerfile"
PROVENANCE = (
    "Digest of the index (amd64 and arm64) of each tag in Amazon Linux's public registry on that day. "
    "Refreshed by nodelayer/project/pins/base_images.py."
)

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MOST_BYTES = 4_000_000  # "registries SHOULD accept manifests of at least 4 megabytes", OCI Distribution Spec
_REFERENCE = re.compile(
    r"(?P<host>[^/@]+)/(?P<name>[^:@]+):(?P<tag>[\w.-]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_ARGUMENT = re.compile(r"(?m)^(ARG BASE_IMAGE=)(\S+)$")
_TODO = "check the network and the proxy"


@dataclass(frozen=True)
class Image:
    """A tag in a repository of a registry, and its pinned digest, if any."""

    host: str
    name: str
    tag: str
    digest: str | None

    @classmethod
    def parse(cls, reference: str) -> "Image":
        """Parse host/name:tag[@sha256:…]. Raises InvalidInputError."""
        found = _REFERENCE.fullmatch(reference)
        if not found:
            raise InvalidInputError(
                "not an image reference", where=reference, todo="use host/name:tag[@sha256:…]"
            )
        return cls(**found.groupdict())

    @property
    def tagged(self) -> str:
        """The reference without the digest."""
        return f"{self.host}/{self.name}:{self.tag}"


def refresh(root: Path, *, registry: str | None = None) -> Changes:
    """Compare the pinned digests with those of the tags; `registry` replaces each image's own host."""
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    bundled: Mapping[str, str] = loads((root / FILE).read_bytes())["images"]
    images = {name: Image.parse(reference) for name, reference in bundled.items()}
    pinned = {image.tagged: image.digest for image in images.values()}
    with Web(todo=_TODO) as web:
        newest = {
            image.tagged: Registry(web, registry or f"https://{image.host}").digest(image)
            for image in set(images.values())
        }

    def replace(found: re.Match[str]) -> str:
        tagged = Image.parse(found[2]).tagged
        if tagged not in newest:
            raise InvalidInputError(f"{FILE} lacks {tagged}", where=DOCKERFILE, todo=f"add it to {FILE}")
        return f"{found[1]}{tagged}@{newest[tagged]}"

    references = {name: f"{image.tagged}@{newest[image.tagged]}" for name, image in images.items()}
    files = {FILE: resource(PROVENANCE, "images", references)} if newest != pinned else {}
    lines = differences(pinned, newest)
    if (after := _ARGUMENT.sub(replace, text)) != text:
        files[DOCKERFILE] = after
        lines = lines or [f"~ {DOCKERFILE} pins another digest than {FILE}"]
    return Changes(lines, files)


PIN = Pin("base-images", "base images, by digest", refresh)


class Registry:
    """A public registry at a base address."""

    def __init__(self, web: Web, base: str) -> None:
        self._web = web
        self._base = base.rstrip("/")

    def digest(self, image: Image) -> str:
        """Return the digest of the index of a tag, which must have every architecture of nodelayer.

        Raises NotFoundError, NotVerifiedError or UnreachableError.
        """
        url = f"{self._base}/v2/{image.name}/manifests/{image.tag}"
        wanted = {"Accept": ", ".join(_INDEXES)}
        status, headers, data = self._get(url, wanted)
        if status == HTTPStatus.UNAUTHORIZED:
            token = self._token(headers.get("WWW-Authenticate", ""), url)
            status, headers, data = self._get(url, {**wanted, "Authorization": f"Bearer {token}"})
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError("the registry has no such tag", where=image.tagged, todo=f"correct {FILE}")
        if status != HTTPStatus.OK:
            raise UnreachableError(f"the registry answers {status}", where=shown(url), todo=_TODO)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if headers.get("Docker-Content-Digest") != digest:
            raise NotVerifiedError(
                "the answer does not have the digest that the registry reports",
                where=image.tagged,
                todo=_TODO,
            )
        with expected_format(image.tagged):
            index = loads(data)
            if (kind := index.get("mediaType") or headers.get("Content-Type")) not in _INDEXES:
                raise NotVerifiedError(f"expected an index, not {kind}", where=image.tagged, todo=_TODO)
            platforms = {
                f"{each['platform']['os']}/{each['platform']['architecture']}" for each in index["manifests"]
            }
        if lacking := sorted({each.docker for each in architecture.ALL} - platforms):
            raise NotVerifiedError(
                f"the index lacks {', '.join(lacking)}", where=image.tagged, todo="check the tag"
            )
        return digest

    def _token(self, challenge: str, url: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        asked: dict[str, str | None] = parse_dict_header(rest)  # type: ignore[no-untyped-call]
        realm = asked.get("realm") or ""
        if scheme.lower() != "bearer" or not realm.startswith(("https://", f"{url.partition('//')[0]}//")):
            raise UnreachableError("the registry names no token service", where=shown(url), todo=_TODO)
        query = {key: asked[key] for key in ("service", "scope") if asked.get(key)}
        _, _, data = self._get(f"{realm}?{urlencode(query)}", {})
        with expected_format(shown(realm)):
            given = loads(data)
            return str(given.get("token") or given["access_token"])

    def _get(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        with self._web.stream(url, headers, also=(HTTPStatus.UNAUTHORIZED,)) as response:
            try:
                data = bytearray()
                for chunk in response.iter_content(1 << 16):
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        raise NotVerifiedError(
                            f"the answer is longer than {_MOST_BYTES} bytes", where=shown(url), todo=_TODO
                        )
            except requests.RequestException as error:
                raise UnreachableError("the connection broke", where=shown(url), todo=_TODO) from error
            return response.status_code, response.headers, bytes(data)
