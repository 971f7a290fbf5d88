"""The notes of a GitHub release, as Markdown: what is new, the layers, their ARNs, how to verify them.

Text from a manifest or a build record is escaped: it never becomes Markdown or HTML.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from nodelayer.errors import InvalidInputError, NotFoundError, NotVerifiedError
from nodelayer.layer.record import BuildRecord
from nodelayer.manifest.model import Layer, Manifest
from nodelayer.util.console import megabytes

MOST = 125_000
"""Characters that GitHub takes: `body is too long (maximum is 125000 characters)`."""

_PLAIN = re.compile(r"[\w.:/+=-]+", re.ASCII)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Zip:
    """A layer as the notes tell of it: what the manifest says, and the asset where it was built here."""

    layer: Layer
    asset: str = ""

    @property
    def sha256(self) -> str:
        """Of the zip, in hex: the manifest's CodeSha256 is the same in base64."""
        return base64.b64decode(self.layer.code_sha256).hex()

    @property
    def label(self) -> str:
        return f"Node.js {self.layer.node_version}, {self.layer.architecture}"


@dataclass(frozen=True)
class ReleaseNotes:
    """What the notes are made of. `changes` is the changelog's section.

    `everywhere` are the regions that any layer is in. Raises InvalidInputError where `repository` is none.
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
                f"which repository? {self.repository!r} is none",
                where="--repository",
                todo="name it as OWNER/REPOSITORY; on GitHub $GITHUB_REPOSITORY has it",
            )

    @property
    def missing(self) -> dict[tuple[str, ...], list[Zip]]:
        """By the regions that they are not in and others are, the layers."""
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
    """Collect the layers of one nodelayer version, published or built, and the changelog's section of it.

    Raises NotFoundError where there is none, NotVerifiedError where a build record is damaged.
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
            todo="publish first, or name where they are with --manifest and --dist",
        )
    everywhere = frozenset(region for layer in known.layers for region, _ in layer.live())
    return ReleaseNotes(version, repository, zips, everywhere, changes)


def render(notes: ReleaseNotes) -> tuple[str, tuple[str, ...]]:
    """The notes, and what had to be left out of them for GitHub's limit. Raises InvalidInputError."""
    for left_out in ((), ("ARNs",), ("ARNs", "layers")):
        text = "\n".join(_lines(replace(notes, left_out=left_out)))
        if len(text) <= MOST:
            return text, left_out
    raise InvalidInputError(
        f"the notes are longer than the {MOST} characters that GitHub takes, even without any table",
        todo=f"shorten the changelog's section of {notes.version}",
    )


def _lines(notes: ReleaseNotes) -> Iterator[str]:
    yield from (notes.changes, "")
    yield from ("## Layers", "")
    if "layers" in notes.left_out:
        yield f"{len(notes.zips)} layers: more than fit here. `SHA256SUMS` among the assets has their zips."
    else:
        yield from _table(
            ("Node.js", "architecture", "runs on", "zip", "sha256 of the zip"),
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
        yield "The ARNs of every region are in `layers.txt` among the assets: they are more than fit here."
        yield ""
    else:
        for each in notes.zips:
            yield from _arns(each)
    yield from _verify(notes)


def _where(notes: ReleaseNotes) -> Iterator[str]:
    """In which regions: that nobody looks for an ARN that is not there."""
    if not notes.everywhere:
        yield "Published in no region."
    elif not notes.missing:
        yield f"Every layer is in each of {len(notes.everywhere)} regions."
    else:
        lacking = sum(map(len, notes.missing.values()))
        yield f"{lacking} of {len(notes.zips)} layers are not in each of the {len(notes.everywhere)} regions."
        if "layers" not in notes.left_out:
            yield ""
        for regions, zips in notes.missing.items() if "layers" not in notes.left_out else ():
            whole = len(regions) == len(notes.everywhere)
            where = "published nowhere" if whole else f"not in {', '.join(regions)}"
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
        "What you downloaded, beside `SHA256SUMS`; then who built it, from which commit:",
        "",
        "```sh",
        "sha256sum --check --ignore-missing SHA256SUMS",
        f"gh attestation verify {asset} --repo {notes.repository} \\",
        f"  --signer-workflow {notes.repository}/.github/workflows/release.yml \\",
        f"  --source-ref refs/tags/v{notes.version}",
        "```",
        "",
        "A layer version, whose CodeSha256 at AWS has to be the one above its ARNs and in `layers.json`:",
        "",
        "```sh",
        "aws lambda get-layer-version-by-arn --region REGION --arn ARN \\",
        "  --query Content.CodeSha256 --output text",
        "```",
        "",
    )


def code(text: str) -> str:
    """Text from elsewhere as code, in a table or out of it; none of its characters is Markdown or HTML."""
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
    """What a manifest would say of a build that is published nowhere. Raises NotVerifiedError."""
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
            "a build record says what cannot be", where=record.zip, todo="build the layer again"
        ) from error
