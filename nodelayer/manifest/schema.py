"""The JSON Schema of the manifest, and the conversion of older schema versions."""

import json
from typing import Any, Literal

import msgspec

from nodelayer.errors import NodelayerError, NotVerifiedError
from nodelayer.manifest.model import Manifest

SCHEMA_VERSION = 3
MOST_BYTES = 64 * 1024 * 1024
_MOST_BYTES_OF_1 = 4 * 1024 * 1024  # converted as plain objects, which take much more memory


class _OfVersion2(Manifest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A manifest of schema version 2, whose fields are all in version 3."""

    schema_version: Literal[2] = 2  # type: ignore[assignment]


class _Head(msgspec.Struct):
    schema_version: int = 0


def parse(data: bytes, where: str) -> Manifest:
    """Parse a manifest of this or an older schema version.

    Raises:
        NotVerifiedError: It is not a valid manifest, or its schema version is newer.
    """
    if len(data) > MOST_BYTES:
        raise NotVerifiedError(
            f"the manifest has more than {MOST_BYTES} bytes", where=where, todo="correct --manifest"
        )
    try:
        # This builds no value of the rest. msgspec refuses lone surrogates, which cannot be written.
        version = msgspec.json.decode(data, type=_Head).schema_version
    except msgspec.ValidationError:
        version = 0
    except (ValueError, RecursionError) as error:
        raise NotVerifiedError(
            f"the manifest is not JSON ({error})", where=where, todo="restore it from its last commit"
        ) from error
    if version < 1:
        raise NotVerifiedError(
            "this is not a manifest: it has no schema_version", where=where, todo="correct --manifest"
        )
    if version > SCHEMA_VERSION:
        raise NotVerifiedError(
            f"the manifest has schema version {version}, but this nodelayer reads at most {SCHEMA_VERSION}",
            where=where,
            todo="update nodelayer",
        )
    try:
        if version == 1:
            known: Manifest = msgspec.convert(_from_1(_decoded(data)), _OfVersion2)
        else:
            known = msgspec.json.decode(data, type=_OfVersion2 if version == 2 else Manifest)  # noqa: PLR2004
        return Manifest.of(known.layers, known.runtimes)
    except (ValueError, NodelayerError, TypeError, AttributeError, RecursionError) as error:
        raise NotVerifiedError(
            f"the manifest is not valid ({_reason(error)})", where=where, todo="restore its last commit"
        ) from error


def schema_text() -> str:
    """Return the JSON Schema of the manifest: the text of `layers.schema.json`."""
    schema = msgspec.json.schema(Manifest)
    definitions = schema["$defs"]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **definitions.pop("Manifest"),
        "title": "Published layers of Node.js for AWS Lambda",
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2) + "\n"


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert schema version 1, which has `time` for `published`, and no access."""
    layers = [
        {
            **layer,
            "regions": {
                region: {
                    **{name: value for name, value in published.items() if name != "time"},
                    "published": published.get("time"),
                }
                for region, published in layer.get("regions", {}).items()
            },
        }
        for layer in raw.get("layers", [])
    ]
    return {"schema_version": 2, "layers": layers}


def _decoded(data: bytes) -> dict[str, Any]:
    if len(data) > _MOST_BYTES_OF_1:
        raise ValueError(f"more than {_MOST_BYTES_OF_1} bytes")
    decoded: dict[str, Any] = msgspec.json.decode(data)
    return decoded


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, NodelayerError) else str(error)
