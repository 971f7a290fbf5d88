"""The JSON Schema of the manifest, and the conversion of older schema versions."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nodelayer.errors import NodelayerError, NotVerifiedError
from nodelayer.manifest.model import Manifest

SCHEMA_VERSION = 3
MOST_BYTES = 64 * 1024 * 1024


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
        if version == SCHEMA_VERSION:
            known = msgspec.json.decode(data, type=Manifest)
            return Manifest.of(known.layers, known.runtimes)
        raw = msgspec.json.decode(data)
        for older in range(version, SCHEMA_VERSION):
            raw = _MIGRATIONS[older](raw)
        known = msgspec.convert(raw, Manifest)
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


def _from_2(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert schema version 2, whose fields are all in version 3."""
    return {**raw, "schema_version": 3}


_MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, NodelayerError) else str(error)
