"""Choose releases of Node.js: turn --node and --arch into exact versions of a source."""

import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress

from nodelayer.architecture import Architecture
from nodelayer.errors import InvalidInputError, NodelayerError, NotFoundError
from nodelayer.node.sources.base import ReleaseSource
from nodelayer.node.versions import Spec, check_supported, exact, resolve

Choice = tuple[str, Architecture]


def choose(
    specs: Sequence[Spec], architectures: Sequence[Architecture], source: ReleaseSource
) -> tuple[list[Choice], list[NodelayerError]]:
    """Choose a version for each spec and architecture; return them without duplicates, and the failures."""
    chosen: dict[Choice, None] = {}
    failures: list[NodelayerError] = []
    for spec, architecture in itertools.product(specs, architectures):
        others = [other for other in architectures if other != architecture]
        try:
            chosen[choose_one(spec, architecture, source, others), architecture] = None
        except NodelayerError as error:
            failures.append(error)
    return list(chosen), failures


def choose_one(
    spec: Spec, architecture: Architecture, source: ReleaseSource, others: Iterable[Architecture] = ()
) -> str:
    """Choose the newest version that matches a spec; an exact version needs no list of releases.

    It prefers a version that is also available for `others`, the architectures of the same build.
    """
    try:
        version = exact(spec.text) or _newest(spec.text, architecture, source, others)
    except (InvalidInputError, NotFoundError) as error:
        raise type(error)(error.what, where=spec.file or error.where, todo=error.todo) from error
    check_supported(version)
    return version


def _newest(
    spec: str, architecture: Architecture, source: ReleaseSource, others: Iterable[Architecture]
) -> str:
    releases = source.releases(architecture)
    shared = list(releases)
    for other in others:
        with suppress(NodelayerError):  # reported when that architecture is built
            versions = {release.version for release in source.releases(other)}
            shared = [release for release in shared if release.version in versions]
    with suppress(NotFoundError):
        return resolve(spec, shared).version
    return resolve(spec, releases).version
