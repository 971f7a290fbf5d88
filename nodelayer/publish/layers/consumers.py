"""Compare what consumers read over HTTP with the manifest: its published copy, and the catalogue."""

from urllib.parse import urljoin

from nodelayer.errors import InvalidInputError, NodelayerError
from nodelayer.manifest.model import MANIFEST_FILE, Layer, Manifest
from nodelayer.manifest.schema import MOST_BYTES, parse
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.publish.layers.verify import Problem
from nodelayer.util.http import Web, shown


def check_url(url: str, flag: str) -> None:
    """Raise InvalidInputError for something else than a web address."""
    if url and not url.startswith(("https://", "http://")):
        raise InvalidInputError(f"{url!r} is not a web address", where=flag, todo="write it with https://")


def compare(known: Manifest, manifest_url: str, catalog_url: str, report: RunReport) -> list[Problem]:
    """Return a problem for each address whose content is not that of the manifest; an empty one is skipped.

    The manifest of a catalogue, which lies beside its page, is compared, too. A failure goes to the report.
    """
    problems = []
    if catalog_url and "." not in catalog_url.rpartition("/")[2]:  # a folder
        catalog_url = f"{catalog_url.rstrip('/')}/"
    beside = urljoin(catalog_url, MANIFEST_FILE) if catalog_url else ""
    with Web(todo="check the address, or try again later") as web:
        for url, compare_text in (
            (manifest_url, _compare_manifest),
            (beside if beside != manifest_url else "", _compare_manifest),
            (catalog_url, _compare_page),
        ):
            if not url:
                continue
            try:
                answer = web.get(url, most=MOST_BYTES)
                kind = (
                    "does not exist"
                    if answer.status == 404  # noqa: PLR2004 - not found
                    else compare_text(known, answer.data, shown(url))
                )
            except NodelayerError as error:
                report.fail(Failure("", shown(url), error))
                continue
            if kind:
                problems.append(Problem("", shown(url), kind, healed=False))
    return problems


def _compare_manifest(known: Manifest, data: bytes, where: str) -> str:
    other = {layer.key: layer for layer in parse(data, where).layers}
    ours = {layer.key: layer for layer in known.layers}
    changed = [key for key in sorted({*ours, *other}) if ours.get(key) != other.get(key)]
    return _differs([other.get(key) or ours[key] for key in changed], "differ from --manifest")


def _compare_page(known: Manifest, data: bytes, _where: str) -> str:
    text = data.decode(errors="replace")
    offered = {layer.code_sha256 for layer in known.layers if any(layer.offered())}
    lacks = [
        layer for layer in known.layers if layer.code_sha256 in offered and layer.code_sha256 not in text
    ]
    stale = [
        layer for layer in known.layers if layer.code_sha256 not in offered and layer.code_sha256 in text
    ]
    parts = (
        _differs(lacks, "are missing"),
        _differs(stale, "are still offered, but are withdrawn or deleted"),
    )
    return "; ".join(part for part in parts if part)


def _differs(layers: list[Layer], how: str) -> str:
    if not layers:
        return ""
    first = f"{layers[0].layer_name} of nodelayer {layers[0].nodelayer_version}"
    return f"{len(layers)} layers {how}, for example {first}"
