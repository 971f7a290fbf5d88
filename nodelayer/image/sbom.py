"""The software bill of materials of an image: those of its layers, and the base image as one component."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from nodelayer.image.record import ImageRecord, PlatformRecord, stem
from nodelayer.util.json_text import loads

_NAMESPACE = uuid.UUID("0e1f6e5c-7a5e-5b0e-8f43-6e6f64656c79")


def render(record: ImageRecord, layers: Mapping[str, str]) -> str:
    """Return the SBOM as CycloneDX 1.6 JSON. `layers` are the SBOMs of the layer zips by architecture.

    What the base image contains is not listed: the field `compositions` says so.
    """
    parts = [_part(record.base, each, loads(layers[each.architecture])) for each in record.platforms]
    bases = [f"{each.architecture}/base" for each in record.platforms]
    ours = [f"{each.architecture}/layer" for each in record.platforms]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, record.digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": stem(record.node_version),
                "version": record.version,
                "hashes": [_hash(record.digest)],
            },
            "tools": parts[0]["tools"],
        },
        "components": [component for part in parts for component in part["components"]],
        "dependencies": [
            {"ref": "image", "dependsOn": [*bases, *ours]},
            *(dependency for part in parts for dependency in part["dependencies"]),
        ],
        "compositions": [{"aggregate": "unknown", "assemblies": bases}],
    }
    return json.dumps(document, indent=2) + "\n"


def _part(base: str, platform: PlatformRecord, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the components and dependencies for one architecture, which begins their references."""

    def named(reference: str) -> str:
        return f"{platform.architecture}/{reference}"

    image = {
        "type": "container",
        "bom-ref": named("base"),
        "name": base.partition("@")[0],
        "version": platform.base,
        "hashes": [_hash(platform.base)],
    }
    components = [layer["metadata"]["component"], *layer["components"]]
    return {
        "tools": layer["metadata"]["tools"],
        "components": [image, *({**each, "bom-ref": named(each["bom-ref"])} for each in components)],
        "dependencies": [
            {"ref": named(each["ref"]), "dependsOn": list(map(named, each.get("dependsOn", ())))}
            for each in layer["dependencies"]
        ],
    }


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}
