"""The release notes, parsed like GitHub parses them."""

import base64
import hashlib

import pytest
from markdown_it import MarkdownIt
from msgspec import convert, to_builtins

from nodelayer.errors import InvalidInputError, NotFoundError
from nodelayer.layer.record import BuilderRecord, BuildRecord
from nodelayer.manifest.model import Layer, Manifest, Published
from nodelayer.node.sources.base import SourceRecord
from nodelayer.project import release_notes

THREE = ("ap-south-1", "eu-west-1", "us-east-1")
CHANGES = "### Added\n\n- A door."
REPOSITORY = "owner/nodelayer"


def sha256(node, arch, build):
    return hashlib.sha256(f"{node} {arch} {build}".encode()).digest()


def layer(node="12.16.1", arch="x86_64", regions=THREE, build="1.2.3", **more):
    name = f"nodejs-{node.replace('.', '-')}-{arch}"
    return Layer(
        **{
            "node_version": node,
            "architecture": arch,
            "nodelayer_version": build,
            "layer_name": name,
            "code_sha256": base64.b64encode(sha256(node, arch, build)).decode(),
            "size": 13_754_321,
            "compatible_runtimes": ["provided.al2", "provided.al2023"],
            "regions": {
                region: Published(
                    version=3,
                    arn=f"arn:aws:lambda:{region}:123456789012:layer:{name}:3",
                    published="2026-01-02T03:04:05Z",
                )
                for region in regions
            },
            **more,
        }
    )


def record(node="12.16.1", arch="x86_64", build="1.2.3"):
    """The build record of the same zip."""
    digest = sha256(node, arch, build)
    return BuildRecord(
        layer_name=f"nodejs-{node.replace('.', '-')}-{arch}",
        description="",
        license="MIT",
        node_version=node,
        architecture=arch,
        nodelayer_version=build,
        compatible_runtimes=["provided.al2", "provided.al2023"],
        compatible_architectures=[arch],
        zip=f"nodejs-{node}-{arch}.zip",
        sha256=digest.hex(),
        code_sha256=base64.b64encode(digest).decode(),
        size=13_754_321,
        unzipped_size=38_400_512,
        compression="best",
        source=SourceRecord(name="npm", package="", sha256="", signature="none"),
        runtime_sha256="",
        builder=BuilderRecord(name="local"),
        files=[],
    )


def notes(layers, records=(), *, version="1.2.3", changes=CHANGES):
    found = release_notes.collect(
        version, Manifest.of(layers), records, changes=changes, repository=REPOSITORY
    )
    return release_notes.render(found)


def parsed(text):
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def tables(text):
    """Return each table as rows of cells, with the text and the code of each cell."""
    found = []
    for token in parsed(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level > 2:
            found[-1][-1].append("".join(each.content for each in token.children or []))
    return found


def test_the_notes_contain_the_changes_the_layers_and_every_arn():
    text, left_out = notes([layer(), layer("24.1.0", "arm64")], [record()])
    assert (left_out, text.startswith(f"{CHANGES}\n\n## Layers\n")) == ((), True)
    layers, *arns = tables(text)
    assert layers == [
        ["Node.js", "architecture", "runs on", "zip", "SHA-256 of the zip"],
        *(
            [node, arch, "provided.al2, provided.al2023", "13.8 MB", sha256(node, arch, "1.2.3").hex()]
            for node, arch in (("12.16.1", "x86_64"), ("24.1.0", "arm64"))
        ),
    ]
    assert arns == [
        [
            ["region", "ARN"],
            *([region, f"arn:aws:lambda:{region}:123456789012:layer:{name}:3"] for region in THREE),
        ]
        for name in ("nodejs-12-16-1-x86_64", "nodejs-24-1-0-arm64")
    ]
    assert "<summary>Node.js 12.16.1, x86_64: 3 regions</summary>" in text
    assert f"CodeSha256 `{layer().code_sha256}`" in text
    assert "Every layer is published in all 3 regions." in text
    assert "gh attestation verify nodejs-12.16.1-x86_64.zip --repo owner/nodelayer" in text
    assert "sha256sum --check --ignore-missing SHA256SUMS" in text


def test_layers_of_another_nodelayer_version_are_left_out():
    old, new = layer(build="1.2.2"), layer("24.1.0")
    text, _ = notes([old, new], [record("14.0.0", build="1.2.2")])
    assert [row[0] for row in tables(text)[0][1:]] == ["24.1.0"]
    assert not [word for word in ("12.16.1", "14.0.0", old.code_sha256) if word in text]
    with pytest.raises(NotFoundError, match=r"no layer of nodelayer 2\.0\.0 is published or built"):
        notes([old, new], version="2.0.0")


def test_notes_name_the_regions_that_lack_a_layer():
    gone = to_builtins(layer("14.0.0", regions=(*THREE, "eu-north-1")))
    for region in ("us-east-1", "eu-north-1"):  # eu-north-1 has no other layer
        gone["regions"][region]["deleted"] = "2026-02-02T00:00:00Z"
    text, _ = notes(
        [
            layer(),
            layer("24.1.0", regions=THREE[:1]),
            layer("24.1.0", "arm64", regions=THREE[:1]),
            convert(gone, Layer),
            layer("10.0.0", regions=("sa-east-1",), build="1.0.0"),
        ],
        [record("26.1.0")],
    )
    assert "5 of 5 layers are missing in some of the 4 regions.\n" in text
    assert [line for line in text.splitlines() if line.startswith("- **")] == [
        "- **not in sa-east-1**: Node.js 12.16.1, x86_64",
        "- **not in sa-east-1, us-east-1**: Node.js 14.0.0, x86_64",
        "- **not in eu-west-1, sa-east-1, us-east-1**: Node.js 24.1.0, arm64; Node.js 24.1.0, x86_64",
        "- **not published in any region**: Node.js 26.1.0, x86_64",
    ]


HOSTILE = [
    "a|b",
    "`code`",
    "<script>alert(1)</script>",
    "</code></details><img src=x onerror=y>",
    "[link](javascript:x)",
    "@everyone #1",
    "line\n\n## heading\n\n| a |\n|---|\n",
    "\u202eright to left\x00\x1b[31m",
]


@pytest.mark.parametrize("words", HOSTILE)
def test_markup_in_a_manifest_is_escaped_in_the_notes(words):
    plain, _ = notes([layer(compatible_runtimes=["provided.al2"])])
    text, _ = notes([layer(compatible_runtimes=[words])])
    # Only the text of the one cell differs: the tokens and tags are the same.
    assert [(each.type, each.tag, each.map) for each in parsed(text)] == [
        (each.type, each.tag, each.map) for each in parsed(plain)
    ]
    inline = [child for token in parsed(text) for child in token.children or []]
    tags = [child.content for child in inline if child.type == "html_inline"]
    assert tags in ([], ["<code>", "</code>"])
    kinds = {child.type for child in inline} - {
        "html_inline",
        "text",
        "code_inline",
        "softbreak",
        "strong_open",
    }
    assert kinds - {"strong_close", "text_special"} == set()
    seen = tables(text)[0][1][2].removeprefix("<code>").removesuffix("</code>")
    assert seen == "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)


def many(versions, regions):
    return [
        layer(f"{20 + number // 50}.{number % 50}.0", arch, regions)
        for number in range(versions)
        for arch in ("x86_64", "arm64")
    ]


def test_notes_that_are_too_long_omit_the_arns_and_say_where_they_are():
    regions = [f"eu-west-{number}" for number in range(1, 35)]
    whole, left_out = notes(many(12, regions))
    assert (left_out, len(whole) < release_notes.MOST) == ((), True)
    text, left_out = notes(many(100, regions))
    assert (left_out, len(text) < release_notes.MOST) == (("ARNs",), True)
    assert ("arn:aws:" in text, "The asset `layers.txt` has those of every region" in text) == (False, True)
    assert len(tables(text)[0]) == 201
    assert text.startswith(CHANGES)


def test_notes_are_limited_to_the_exact_number_of_characters():
    room = release_notes.MOST - len(notes([layer()], changes="x")[0]) + 1
    exact, left_out = notes([layer()], changes="x" * room)
    assert (len(exact), left_out) == (release_notes.MOST, ())
    assert notes([layer()], changes="x" * (room + 1))[1] == ("ARNs",)
    with pytest.raises(InvalidInputError, match=r"longer than the 125000 characters.*section of 1\.2\.3"):
        notes([layer()], changes="x" * release_notes.MOST)
