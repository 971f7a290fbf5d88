"""The notes of a GitHub release, as Markdown: changes, layers, ARNs, and how to verify them.

Text from a manifest or a build record is escaped, so it never becomes Markdown or HTML.
"""

import base64
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError
from nodelayer.layer.record import BuildRecord
from nodelayer.manifest.model import Layer, Manifest
from nodelayer.util.console import megabytes

MOST = 125_000
"""GitHub's limit in characters: `body is too long (maximum is 125000 characters)`."""

_PLAIN = re.compile(r"[\w.:/+=-]+", re.ASCII)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Zip:
    """A layer in the notes: its entry in the manifest, and the asset if the zip was built in this run."""

    layer: Layer
    asset: str = ""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the zip in hex; CodeSha256 in the manifest is the same in Base64."""
        return base64.b64decode(self.layer.code_sha256).hex()

    @property
    def label(self) -> str:
        """Node.js version and architecture, for people."""
        return f"Node.js {self.layer.node_version}, {self.layer.architecture}"


@dataclass(frozen=True)
class ReleaseNotes:
    """The content of the notes.

    `changes` is the section of the changelog. `everywhere` has each region that any layer is in.
    Raises InvalidInputError if `repository` is not OWNER/NAME.
    """

    version: str
    repository: str
    zips: Sequence[Zip]
    everywhere: frozenset[str]
    changes: str
    left_out: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise InvalidInputError(
                f"{self.repository!r} is not a GitHub repository",
                where="--repository",
                todo="use OWNER/NAME; in a job $GITHUB_REPOSITORY has it",
            )

    @property
    def missing(self) -> dict[tuple[str, ...], list[Zip]]:
        """The layers that are missing in some region, grouped by those regions."""
        found: dict[tuple[str, ...], list[Zip]] = {}
        for each in self.zips:
            lacks = tuple(sorted(self.everywhere - {region for region, _ in each.layer.live()}))
            if lacks:
                found.setdefault(lacks, []).append(each)
        return found


def collect(
    version: str,
    known: Manifest,
    records: Iterable[BuildRecord],
    *,
    changes: str,
    repository: str,
) -> ReleaseNotes:
    """Collect the published and built layers of one nodelayer version.

    Raises NotFoundError if there is no layer, NotVerifiedError if a build record is damaged.
    """
    built = [_as_layer(record) for record in records if record.nodelayer_version == version]
    published = [layer for layer in known.layers if layer.nodelayer_version == version]
    every = Manifest.of([*published, *built])
    assets = {layer.key for layer in built}
    zips = [
        Zip(layer, f"nodejs-{layer.node_version}-{layer.architecture}.zip" if layer.key in assets else "")
        for layer in every.layers
    ]
    if not zips:
        raise NotFoundError(
            f"no layer of nodelayer {version} is published or built",
            todo="publish first, or set --manifest and --assets",
        )
    everywhere = frozenset(region for layer in known.layers for region, _ in layer.live())
    return ReleaseNotes(version, repository, zips, everywhere, changes)


def render(notes: ReleaseNotes) -> tuple[str, tuple[str, ...]]:
    """Return the notes, and the names of the tables omitted for GitHub's limit. Raises InvalidInputError."""
    for left_out in ((), ("ARNs",), ("ARNs", "layers")):
        text = "\n".join(_lines(replace(notes, left_out=left_out)))
        if len(text) <= MOST:
            return text, left_out
    raise InvalidInputError(
        f"the notes are longer than the {MOST} characters that GitHub allows, even without tables",
        todo=f"shorten the changelog section of {notes.version}",
    )


def _lines(notes: ReleaseNotes) -> Iterator[str]:
    yield from (notes.changes, "")
    yield from ("## Layers", "")
    if "layers" in notes.left_out:
        yield f"{len(notes.zips)} layers, too many to list here. The asset `SHA256SUMS` lists their zips."
    else:
        yield from _table(
            ("Node.js", "architecture", "runs on", "zip", "SHA-256 of the zip"),
            ":--|:--|:--|--:|:--",
            (
                (
                    each.layer.node_version,
                    code(each.layer.architecture),
                    ", ".join(map(code, each.layer.compatible_runtimes)) or "-",
                    megabytes(each.layer.size),
                    code(each.sha256),
                )
                for each in notes.zips
            ),
        )
    yield from ("", "## ARNs", "", *_where(notes), "")
    if notes.left_out:
        yield "There are too many ARNs to list here. The asset `layers.txt` has those of every region."
        yield ""
    else:
        for each in notes.zips:
            yield from _arns(each)
    yield from _verify(notes)


def _where(notes: ReleaseNotes) -> Iterator[str]:
    """Yield which regions have the layers, and which layers are missing where."""
    if not notes.everywhere:
        yield "No layer is published in any region."
    elif not notes.missing:
        yield f"Every layer is published in all {len(notes.everywhere)} regions."
    else:
        lacking = sum(map(len, notes.missing.values()))
        yield (
            f"{lacking} of {len(notes.zips)} layers are missing in some of the "
            f"{len(notes.everywhere)} regions."
        )
        if "layers" not in notes.left_out:
            yield ""
        for regions, zips in notes.missing.items() if "layers" not in notes.left_out else ():
            whole = len(regions) == len(notes.everywhere)
            where = "not published in any region" if whole else f"not in {', '.join(regions)}"
            yield f"- **{where}**: {'; '.join(each.label for each in zips)}"


def _arns(each: Zip) -> Iterator[str]:
    live = list(each.layer.live())
    if not live:
        return
    count = "1 region" if len(live) == 1 else f"{len(live)} regions"
    yield from ("<details>", f"<summary>{each.label}: {count}</summary>", "")
    yield from (f"CodeSha256 {code(each.layer.code_sha256)}", "")
    yield from _table(("region", "ARN"), ":--|:--", ((region, code(at.arn)) for region, at in live))
    yield from ("", "</details>", "")


def _verify(notes: ReleaseNotes) -> Iterator[str]:
    asset = next((each.asset for each in notes.zips if each.asset), "FILE")
    yield from (
        "## Verify",
        "",
        "Check the downloaded files with `SHA256SUMS` in the same folder, then their workflow and commit:",
        "",
        "```sh",
        "sha256sum --check --ignore-missing SHA256SUMS",
        f"gh attestation verify {shlex.quote(asset)} --repo {notes.repository} \\",
        f"  --signer-workflow {notes.repository}/.github/workflows/release.yml \\",
        f"  --source-ref refs/tags/v{notes.version}",
        "```",
        "",
        "Check a layer version: its CodeSha256 at AWS must be the one above its ARNs and in `layers.json`:",
        "",
        "```sh",
        "aws lambda get-layer-version-by-arn --region REGION --arn ARN \\",
        "  --query Content.CodeSha256 --output text",
        "```",
        "",
    )


def code(text: str) -> str:
    """Return untrusted text as inline code, in which no character is Markdown or HTML."""
    if _PLAIN.fullmatch(text):
        return f"`{text}`"
    return f"<code>{''.join(map(_harmless, text))}</code>"


def _harmless(char: str) -> str:
    if char.isascii() and (char.isalnum() or char == " "):
        return char
    return f"&#{ord(char)};" if char.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _table(head: Sequence[str], rule: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{rule}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _as_layer(record: BuildRecord) -> Layer:
    """Return the manifest entry of a build that is not published. Raises NotVerifiedError."""
    try:
        return Layer(
            node_version=record.node_version,
            architecture=record.architecture,
            nodelayer_version=record.nodelayer_version,
            layer_name=record.layer_name,
            code_sha256=record.code_sha256,
            size=record.size,
            unzipped_size=record.unzipped_size,
            compatible_runtimes=record.compatible_runtimes,
        )
    except ValueError as error:
        raise NotVerifiedError(
            f"the build record is not valid ({error})", where=record.zip, todo="build the layer again"
        ) from error
