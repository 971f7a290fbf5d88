"""Convert a built layer to the metadata of its layer version, and to its entry in the manifest."""

from nodelayer.aws.layers import PRIVATE, Access, Content, LayerMetadata, LayerVersionSummary
from nodelayer.aws.quotas import COMPATIBLE_RUNTIMES, DESCRIPTION
from nodelayer.layer.artifact import Artifact
from nodelayer.manifest.model import Layer, Published

PADDING = " (fills the numbering)"
"""Suffix of the description of padding: a layer version that is published only for its number."""


def for_artifact(artifact: Artifact, *, padding: bool = False) -> LayerMetadata:
    """Return the metadata of an artifact's layer version, within Lambda's quotas.

    All of it comes from the artifact: to publish other metadata, replace a field of the artifact.
    """
    description = artifact.description[:DESCRIPTION]
    if padding:
        description = description[: DESCRIPTION - len(PADDING)] + PADDING
    return LayerMetadata(
        name=artifact.layer_name,
        description=description,
        license=artifact.license,
        runtimes=artifact.compatible_runtimes[:COMPATIBLE_RUNTIMES],
        architectures=(artifact.architecture,),
    )


def is_padding(version: LayerVersionSummary | Content) -> bool:
    """Tell whether a layer version is padding."""
    return version.description.endswith(PADDING)


def entry(artifact: Artifact, region: str, published: Published) -> Layer:
    """Return the manifest's entry for an artifact in one region."""
    return Layer(
        node_version=artifact.node_version,
        architecture=artifact.architecture,
        nodelayer_version=artifact.nodelayer_version,
        layer_name=artifact.layer_name,
        code_sha256=artifact.code_sha256,
        size=artifact.size,
        unzipped_size=artifact.unzipped_size,
        compatible_runtimes=list(for_artifact(artifact).runtimes),
        regions={region: published},
    )


def published(version: int, arn: str, created: str, access: Access, *, parameters: bool = False) -> Published:
    """Return the manifest's record of one layer version."""
    return Published(
        version=version,
        arn=arn,
        published=created,
        public=access.public,
        organizations=sorted(access.organizations),
        accounts=sorted(access.accounts),
        parameters=parameters,
    )


def access_of(published: Published) -> Access:
    """Return who may use a recorded layer version: of a withdrawn one, only its account."""
    if published.withdrawn:
        return PRIVATE
    return Access(published.public, frozenset(published.organizations), frozenset(published.accounts))
