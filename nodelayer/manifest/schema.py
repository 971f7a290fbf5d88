"""The manifest's schema: as JSON Schema, and its older versions."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from nodelayer.errors import NodelayerError, NotVerifiedError
from nodelayer.manifest.model import Manifest

SCHEMA_VERSION = 2


def parse(data: bytes, where: str) -> Manifest:
    """A manifest of this or an older schema. Raises NotVerifiedError saying why it is not to be read."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotVerifiedError(
            "the manifest is not JSON", where=where, todo="take it from its last commit"
        ) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise NotVerifiedError("no manifest: it has no schema_version", where=where, todo="mend --manifest")
    if version > SCHEMA_VERSION:
        raise NotVerifiedError(
            f"the manifest is of schema {version}, newer than the {SCHEMA_VERSION} known here",
            where=where,
            todo="use a newer nodelayer",
        )
    try:
        for older in range(version, SCHEMA_VERSION):
            raw = _MIGRATIONS[older](raw)
        return Manifest.of(Manifest.model_validate(raw).layers)
    except (ValidationError, NodelayerError, TypeError, AttributeError) as error:
        raise NotVerifiedError(
            f"the manifest does not hold what it should ({_first(error)})",
            where=where,
            todo="take it from its last commit",
        ) from error


def schema_text() -> str:
    """The JSON Schema of the manifest, as `layers.schema.json` holds it."""
    schema = Manifest.model_json_schema(by_alias=True)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Published layers of Node.js for AWS Lambda",
        **{name: value for name, value in schema.items() if name != "title"},
    }
    return json.dumps(schema, indent=2) + "\n"


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 kept `time` for `published`, and did not say who may use a layer version."""
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


_MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def _first(error: Exception) -> str:
    if isinstance(error, NodelayerError):
        return error.what
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
