"""The software bill of materials of a layer, CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/)."""

import re
import uuid
from collections.abc import Mapping

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.tool import Tool
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from nodelayer.layer.record import BuildRecord

_NAMESPACE = uuid.UUID("5e2d9a3c-7c0c-5c1e-9d0e-6e6f64656c79")
_NO_COMPONENT = {"node", "modules", "napi", "unicode", "cldr", "tz"}
_BUNDLED_LIBRARIES = {"libatomic.so.1": ("libatomic", "GPL-3.0-or-later WITH GCC-exception-3.1")}


def render(record: BuildRecord, versions: Mapping[str, str]) -> str:
    """Return the SBOM of the layer of a build record; the same input gives the same text.

    `versions` is `process.versions` of the binary, or empty if the binary could not be run. In the dependency
    graph, the components inside Node.js are below it.
    """
    layer = Component(
        name=record.layer_name,
        version=record.nodelayer_version,
        type=ComponentType.APPLICATION,
        description=record.description,
        bom_ref="layer",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=record.sha256)],
        properties=[
            Property(name="nodelayer:architecture", value=record.architecture),
            Property(name="nodelayer:compatible-runtimes", value=" ".join(record.compatible_runtimes)),
        ],
    )
    sums = {file.path: file.sha256 for file in record.files}
    node = Component(
        name="node",
        version=record.node_version,
        type=ComponentType.PLATFORM,
        supplier=OrganizationalEntity(name="Node.js project"),
        licenses=[DisjunctiveLicense(id="MIT")],
        purl=PackageURL("generic", name="node", version=record.node_version),
        cpe=f"cpe:2.3:a:nodejs:node.js:{record.node_version}:*:*:*:*:*:*:*",
        bom_ref="node",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sums["nodejs/bin/node"])],
        properties=[
            Property(name="nodelayer:source", value=record.source.name),
            Property(name="nodelayer:archive-sha256", value=record.source.sha256),
        ],
    )
    client = Component(
        name="nodelayer",
        version=record.nodelayer_version,
        type=ComponentType.LIBRARY,
        description="bootstrap and runtime client",
        licenses=[DisjunctiveLicense(id="MIT")],
        bom_ref="nodelayer",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=record.runtime_sha256)],
    )
    inside = [
        _inside(name, version) for name, version in sorted(versions.items()) if name not in _NO_COMPONENT
    ]
    libraries = [
        _library(soname, origin, sums[f"lib/{soname}"])
        for soname, origin in sorted(record.builder.libraries.items())
    ]
    bom = Bom(
        components=[node, client, *inside, *libraries],
        serial_number=uuid.uuid5(_NAMESPACE, record.sha256),
    )
    bom.metadata.component = layer
    bom.metadata.timestamp = None  # type: ignore[assignment] # optional; it would change the text
    bom.metadata.tools.tools.add(Tool(vendor="nodelayer", name="nodelayer", version=record.nodelayer_version))
    bom.register_dependency(layer, [node, client, *libraries])
    bom.register_dependency(node, [*inside, *libraries])
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _inside(name: str, version: str) -> Component:
    plain = re.sub(r"-node\.\d+$|\+.*$", "", version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("generic", name=name, version=plain),
        bom_ref=f"node/{name}",
    )


def _library(soname: str, origin: str, sha256: str) -> Component:
    name, metadata = _BUNDLED_LIBRARIES.get(soname, (soname, ""))
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        licenses=[LicenseExpression(metadata)] if metadata else [],
        bom_ref=f"lib/{soname}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        properties=[Property(name="nodelayer:origin", value=origin)],
    )
