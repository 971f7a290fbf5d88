"""Base images in nodelayer/layer/base_images.json and docker/Dockerfile, pinned by digest.

The registry returns the index of a tag for an anonymous token. The digest is the hash of the answer, and must
be the one that the registry reports. No image is pulled, and Docker is not needed.
"""

import re
from pathlib import Path

from nodelayer import architecture
from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError
from nodelayer.image import oci
from nodelayer.image.registry import ImageReference, Repository
from nodelayer.project.pins.pin import Changes, Pin, differences, resource
from nodelayer.util.json_text import loads

FILE = "nodelayer/layer/base_images.json"
DOCKERFILE = "docker/Dockerfile"
PROVENANCE = (
    "Digest of the index (amd64 and arm64) of each tag in Amazon's public registry on that day. "
    "Refreshed by nodelayer/project/pins/base_images.py."
)

_ARGUMENT = re.compile(r"(?m)^(ARG BASE_IMAGE=)(\S+)$")


def refresh(root: Path, *, registry: str | None = None) -> Changes:
    """Compare the pinned digests with those of the tags; `registry` replaces each image's own host."""
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    bundled: dict[str, str] = loads((root / FILE).read_bytes())["images"]
    images = {name: ImageReference.parse(reference) for name, reference in bundled.items()}
    pinned = {image.tagged: image.digest for image in images.values()}
    newest = {image.tagged: _index_digest(image, registry or image.host) for image in set(images.values())}

    def replace(found: re.Match[str]) -> str:
        tagged = ImageReference.parse(found[2]).tagged
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


def _index_digest(image: ImageReference, registry: str) -> str:
    """Return the digest of the index of a tag, which must have every architecture of nodelayer.

    Raises NotFoundError, NotVerifiedError or UnreachableError.
    """
    with Repository(registry, image.name) as repository:
        try:
            found = repository.read_manifest(image.tag or "")
        except NotFoundError as error:
            raise NotFoundError(
                "the registry has no such tag", where=image.tagged, todo=f"correct {FILE}"
            ) from error
    if found.media_type not in oci.INDEXES:
        raise NotVerifiedError(
            f"expected an index, not {found.media_type}", where=image.tagged, todo="check the tag"
        )
    index = oci.parse(found.data, oci.Index, image.tagged)
    platforms = {
        f"{each.platform.os}/{each.platform.architecture}" for each in index.manifests if each.platform
    }
    if lacking := sorted({each.docker for each in architecture.ALL} - platforms):
        raise NotVerifiedError(
            f"the index lacks {', '.join(lacking)}", where=image.tagged, todo="check the tag"
        )
    return found.digest
