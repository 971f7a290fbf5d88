import json
import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import msgspec
import pytest

import nodelayer
from nodelayer.errors import (
    InvalidInputError,
    MachineError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    UnreachableError,
)
from nodelayer.manifest import store
from nodelayer.manifest.lookup import look_up, look_up_everywhere, look_up_newer, look_up_runtime
from nodelayer.manifest.model import (
    Canary,
    Layer,
    Manifest,
    Published,
    RuntimeVersion,
    Source,
    Withdrawal,
)
from nodelayer.manifest.store import open_manifest

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "nodelayer" / "manifest" / "layers.schema.json"
OLD = Path(__file__).resolve().parents[2] / "data" / "layers-schema-1.json"


def published(region, name, version=1, **more):
    arn = f"arn:aws:lambda:{region}:123456789012:layer:{name}:{version}"
    return Published(**{"version": version, "arn": arn, "published": "2026-01-02T03:04:05Z", **more})


def layer(  # noqa: PLR0913 - the fields that differ between entries
    node="12.16.1", arch="x86_64", regions=("eu-west-1",), version=1, *, build="1.0.0", content="A", **more
):
    name = f"nodejs-{node.replace('.', '-')}-{arch}"
    return Layer(
        node_version=node,
        architecture=arch,
        nodelayer_version=build,
        layer_name=name,
        code_sha256=content * 43 + "=",
        size=13_700_000,
        compatible_runtimes=["provided.al2023"],
        regions={region: published(region, name, version, **more) for region in regions},
    )


def runtime_arn(node, region="eu-west-1", build="1.0.0"):
    name = f"runtime/nodejs-{node.partition('.')[0]}/version/{node}_{build}"
    return f"arn:aws:lambda:{region}:123456789012:{name}"


def runtime(node="12.16.1", build="1.0.0", **more):
    values = {
        "node_version": node,
        "nodelayer_version": build,
        "architectures": ["x86_64", "arm64"],
        "image": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/nodelayer/nodejs-12@sha256:{'1' * 64}",
        "published": "2026-01-02T03:04:05Z",
    }
    return RuntimeVersion(**values | more)


def runtimes(*nodes, region="eu-west-1", **more):
    return {runtime_arn(node, region): runtime(node, **more) for node in nodes}


def found(manifest_, spec, region="eu-west-1", arch="x86_64"):
    return look_up(manifest_, spec, region, arch)


# ---- look-up


def test_newer_layer_version_has_the_same_line_region_and_architecture():
    both = ("eu-west-1", "us-east-1")
    manifest_ = Manifest.of(
        [
            layer("24.20.0", regions=both),
            layer("24.20.0", regions=both, version=2, build="1.1.0", content="B"),
            layer("24.21.0", regions=both, content="C"),
            layer("24.22.0", regions=("us-east-1",), content="D"),
            layer("24.23.0", "arm64", content="E"),
            layer("26.1.0", content="F"),
        ]
    )
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-{}-x86_64:{}".format
    for old in (arn("24-20-0", 1), arn("24-20-0", 2)):
        assert look_up_newer(manifest_, old).published.arn == arn("24-21-0", 1)
    assert look_up_newer(manifest_, arn("24-20-0", 1), "24.20").published.arn == arn("24-20-0", 2)
    assert look_up_newer(manifest_, arn("24-20-0", 1), "26").published.arn == arn("26-1-0", 1)
    for newest, spec in ((arn("24-21-0", 1), ""), (arn("24-20-0", 2), "24.20"), (arn("26-1-0", 1), "24")):
        with pytest.raises(NotFoundError, match=r"no layer of Node\.js .* is newer"):
            look_up_newer(manifest_, newest, spec)
    with pytest.raises(NotFoundError, match="does not contain this layer version"):
        look_up_newer(manifest_, arn("24-20-0", 3))


def test_look_up_says_that_a_layer_version_was_withdrawn():
    withdrawn = Withdrawal(time="2026-02-03T04:05:06Z", reason="answers are cut")
    bad = layer("24.20.0", withdrawn=withdrawn)
    arn = bad.regions["eu-west-1"].arn
    with pytest.raises(
        NotFoundError, match=re.escape(f"{arn} was withdrawn (answers are cut); eu-west-1 has")
    ):
        found(Manifest.of([bad]), "24")
    with pytest.raises(RefusedError, match=r"it was withdrawn \(answers are cut\), and no layer .* is newer"):
        look_up_newer(Manifest.of([bad]), arn)
    assert look_up_newer(Manifest.of([bad, layer("24.21.0")]), arn).layer.node_version == "24.21.0"


def test_look_up_everywhere_returns_the_regions_with_the_newest_release():
    manifest_ = Manifest.of(
        [
            layer("24.20.0", regions=("ap-south-1", "eu-west-1")),
            layer("24.21.0", regions=("us-east-1", "eu-west-1"), content="B"),
        ]
    )
    everywhere, lacking = look_up_everywhere(manifest_, "24", "x86_64")
    assert lacking == ["ap-south-1"]
    assert [(each.region, each.layer.node_version) for each in everywhere] == [
        ("eu-west-1", "24.21.0"),
        ("us-east-1", "24.21.0"),
    ]
    with pytest.raises(NotFoundError, match="in any region"):
        look_up_everywhere(manifest_, "22", "x86_64")


def test_an_exact_version_is_found():
    assert found(Manifest.of([layer()]), "12.16.1").published.arn.endswith(":layer:nodejs-12-16-1-x86_64:1")


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("12", "12.22.12"),
        ("^12.16 <12.20", "12.16.1"),
        ("latest", "14.0.0"),
        ("lts", "12.22.12"),
        ("lts/erbium", "12.22.12"),
    ],
)
def test_spec_selects_the_newest_release_published_in_the_region(spec, version):
    known = Manifest.of(
        [layer("12.16.1"), layer("12.22.12"), layer("14.0.0"), layer("16.0.0", regions=("us-east-1",))]
    )
    assert found(known, spec).layer.node_version == version


def test_look_up_prefers_the_newest_nodelayer_version():
    known = Manifest.of(
        [layer(build=build, content=content) for build, content in [("1.9.0", "A"), ("1.10.0", "B")]]
    )
    assert found(known, "12").layer.nodelayer_version == "1.10.0"


def test_look_up_prefers_the_highest_layer_version_of_one_nodelayer():
    known = Manifest.of([layer(content="B", version=1), layer(content="A", version=2)])
    assert found(known, "12").published.version == 2


def test_a_deleted_layer_version_is_not_found():
    known = Manifest.of([layer(deleted="2026-02-03T04:05:06Z"), layer("12.4.0")])
    assert found(known, "12").layer.node_version == "12.4.0"


def test_the_error_names_other_regions_and_versions():
    known = Manifest.of([layer(regions=("us-east-1", "us-west-2")), layer("18.0.0")])
    with pytest.raises(NotFoundError) as error:
        found(known, "12")
    assert str(error.value) == (
        "no layer of Node.js 12 for x86_64 in eu-west-1: available for x86_64 in us-east-1, us-west-2; "
        "eu-west-1 has 18.0.0 for x86_64"
    )


def test_the_error_names_another_architecture():
    with pytest.raises(
        NotFoundError, match="available for arm64 in eu-west-1; eu-west-1 has no layer for x86_64"
    ):
        found(Manifest.of([layer(arch="arm64")]), "12")


def test_an_invalid_spec_is_rejected():
    with pytest.raises(InvalidInputError):
        found(Manifest.of([layer()]), "twelve")


def test_python_api_accepts_a_manifest_file(tmp_path):
    path = tmp_path / "layers.json"
    store.update(path, lambda _: Manifest.of([layer()]))
    assert nodelayer.arn_for("12", "eu-west-1", manifest=path).endswith(":1")


@pytest.mark.parametrize(
    ("spec", "node", "alias"),
    [
        ("12.16.1", "12.16.1", "12.16.1"),
        ("v12.16.1", "12.16.1", "12.16.1"),
        ("12", "12.22.12", "latest"),
        ("12.x", "12.22.12", "latest"),
        ("^12.16 || ^14", "14.0.0", "latest"),
        ("lts", "12.22.12", "latest"),
        ("lts/erbium", "12.22.12", "latest"),
        ("latest", "14.0.0", "latest"),
        ("12.16", "12.16.1", "12.16.1"),  # `latest` would leave 12.16
        ("^12.16 <12.20", "12.16.1", "12.16.1"),
        ("12.16.1 || ^12.99", "12.16.1", "12.16.1"),  # `latest` is 12.22.12 now
        ("15.0.0-rc.1", "15.0.0-rc.1", "15.0.0-rc.1"),
    ],
)
def test_runtime_alias_follows_a_line_and_pins_everything_narrower(spec, node, alias):
    known = Manifest.of([], runtimes("12.16.1", "12.22.12", "14.0.0", "15.0.0-rc.1"))
    wanted = look_up_runtime(known, spec, "eu-west-1", "arm64")
    assert (wanted.version.node_version, wanted.alias) == (node, alias)
    assert wanted.arn.runtime == runtime_arn(node).partition("/version/")[0]


def test_runtime_look_up_prefers_the_newest_nodelayer_and_ignores_deleted_versions():
    later = "2026-03-03T00:00:00Z"
    known = Manifest.of(
        [],
        {
            runtime_arn("12.16.1"): runtime(),
            runtime_arn("12.16.1", build="1.10.0"): runtime(build="1.10.0"),
            runtime_arn("12.16.1", build="1.9.0"): runtime(build="1.9.0"),
            runtime_arn("12.16.1", build="1.11.0"): runtime(build="1.11.0", deleted=later),
            **runtimes("12.17.0", deleted="2026-02-02T00:00:00Z", restored=later),
        },
    )
    assert look_up_runtime(known, "12.16.1", "eu-west-1", "x86_64").version.nodelayer_version == "1.10.0"
    assert look_up_runtime(known, "12", "eu-west-1", "x86_64").version.node_version == "12.17.0"


def test_the_error_of_a_runtime_look_up_names_other_regions_versions_and_architectures():
    known = Manifest.of(
        [],
        {
            **runtimes("12.16.1", region="us-east-1", architectures=["x86_64"]),
            **runtimes("18.0.0", architectures=["arm64"]),
        },
    )
    with pytest.raises(NotFoundError) as error:
        look_up_runtime(known, "12", "eu-west-1", "arm64")
    assert str(error.value) == (
        "no runtime of Node.js 12 for arm64 in eu-west-1: available for x86_64 in us-east-1; "
        "eu-west-1 has 18.0.0 for arm64"
    )
    with pytest.raises(NotFoundError, match="eu-west-1 has no runtime for x86_64"):
        look_up_runtime(known, "18", "eu-west-1", "x86_64")


@pytest.fixture
def served():
    """Serve a manifest at a URL; the first item of the list is the response."""
    answers = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, data = answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/layers.json", answers
    server.shutdown()
    server.server_close()


def test_python_api_accepts_a_manifest_url(served):
    url, answers = served
    answers.append((200, Manifest.of([layer()]).json_text().encode()))
    assert nodelayer.arn_for("12", "eu-west-1", manifest=url).endswith(":1")


def test_a_url_without_a_manifest_is_an_error(served):
    url, answers = served
    answers.append((404, b"<html>"))
    with pytest.raises(NotFoundError, match="the manifest does not exist"):
        open_manifest(url)


def test_an_unreachable_host_is_an_error():
    with pytest.raises(UnreachableError, match="name another manifest with --manifest"):
        open_manifest("http://127.0.0.1:9/layers.json")


# ---- merge


def some_manifest(chance):
    layers = []
    for _ in range(chance.randrange(4)):
        more = {
            "public": chance.random() < 0.5,
            "organizations": chance.sample(["o-aaaaaaaaaa", "o-bbbbbbbbbb"], chance.randrange(3)),
            "deleted": chance.choice([None, None, "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]),
            "published": chance.choice(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]),
        }
        layers.append(
            layer(
                chance.choice(["12.16.1", "18.0.0"]),
                regions=chance.sample(["eu-west-1", "us-east-1", "sa-east-1"], chance.randrange(4)),
                version=chance.randrange(1, 4),
                content=chance.choice("AB"),
                **more,
            )
        )
    versions = {
        runtime_arn("12.16.1", region): runtime(
            image=f"x@sha256:{chance.choice('12') * 64}",
            architectures=chance.choice([["arm64"], ["x86_64"]]),
            organizations=chance.sample(["o-aaaaaaaaaa", "o-bbbbbbbbbb"], chance.randrange(3)),
            published=chance.choice(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]),
            deleted=chance.choice([None, "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]),
            restored=chance.choice([None, "2026-03-02T00:00:00Z", "2026-05-01T00:00:00Z"]),
        )
        for region in chance.sample(["eu-west-1", "us-east-1"], chance.randrange(3))
    }
    return Manifest.of(layers, versions)


@pytest.mark.parametrize("seed", range(200))
def test_merging_is_independent_of_order_grouping_and_repetition(seed):
    chance = random.Random(seed)
    a, b, c = (some_manifest(chance) for _ in range(3))
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    assert a.merge(b).merge(b) == a.merge(b)


def test_merge_keeps_the_entries_of_both_manifests():
    merged = Manifest.of([layer()]).merge(Manifest.of([layer("18.0.0"), layer(regions=("us-east-1",))]))
    assert [(each.node_version, sorted(each.regions)) for each in merged.layers] == [
        ("12.16.1", ["eu-west-1", "us-east-1"]),
        ("18.0.0", ["eu-west-1"]),
    ]


def test_merge_keeps_deletions_and_permissions():
    changed = Manifest.of([layer(public=True, deleted="2026-02-03T04:05:06Z")])
    merged = Manifest.of([layer()]).merge(changed)
    assert merged == changed


# ---- reading and writing


def test_update_writes_a_sorted_manifest_with_text_and_schema(tmp_path):
    path = tmp_path / "layers.json"
    store.update(path, lambda _: Manifest.of([layer("18.0.0"), layer("12.16.1"), layer("9.0.0")]))
    raw = json.loads(path.read_text())
    assert [each["node_version"] for each in raw["layers"]] == ["9.0.0", "12.16.1", "18.0.0"]
    assert (tmp_path / "layers.txt").read_text().splitlines()[1] == (
        "eu-west-1 12.16.1 x86_64 arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1"
    )
    assert (tmp_path / "layers.schema.json").read_text() == (SCHEMA).read_text()


def test_the_written_manifest_matches_the_schema():
    schema = json.loads((SCHEMA).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    chance = random.Random(1)
    for _ in range(20):
        jsonschema.validate(json.loads(some_manifest(chance).json_text()), schema)


def test_the_sample_in_the_docs_matches_the_schema():
    sample = ROOT / "docs" / "layers.sample.json"
    jsonschema.validate(json.loads(sample.read_text()), json.loads(SCHEMA.read_text()))
    assert store.read(sample).json_text() == sample.read_text()


def test_a_deleted_layer_version_is_not_in_the_text():
    assert Manifest.of([layer(deleted="2026-02-03T04:05:06Z")]).text() == ""


def test_new_records_survive_a_merge_in_any_order_and_match_the_schema():
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:2"
    withdrawn = Withdrawal(time="2026-02-03T04:05:06Z", reason="answers are cut", successor=arn)
    canary = Canary(date="2026-02-03", region="eu-west-1", memory_mb=512, init_ms=118.2)
    bare = layer()
    full = msgspec.structs.replace(
        layer(withdrawn=withdrawn, accounts=["210987654321"], parameters=True),
        canary=canary,
        source=Source(name="npm", verified="checksum"),
    )
    one, other = Manifest.of([bare], runtimes("12.16.1")), Manifest.of([full])
    assert one.merge(other) == other.merge(one)
    (merged,) = one.merge(other).layers
    kept = merged.regions["eu-west-1"]
    assert (merged.canary, merged.source.name) == (canary, "npm")
    assert (kept.withdrawn, kept.accounts, kept.parameters) == (withdrawn, ["210987654321"], True)
    assert one.merge(other).runtimes == runtimes("12.16.1")
    jsonschema.validate(json.loads(one.merge(other).json_text()), json.loads(SCHEMA.read_text()))
    assert one.merge(other).text() == ""
    with pytest.raises(NotFoundError):
        found(one.merge(other), "12")


def test_merge_keeps_the_deletion_the_restoration_and_the_readers_of_a_runtime():
    first, second = "2026-02-03T04:05:06Z", "2026-02-04T04:05:06Z"
    before = Manifest.of([], runtimes("12.16.1", accounts=["210987654321"]))
    deleted = Manifest.of([], runtimes("12.16.1", deleted=first, organizations=["o-aaaaaaaaaa"]))
    merged = before.merge(deleted)
    assert merged.runtimes == runtimes(
        "12.16.1", deleted=first, accounts=["210987654321"], organizations=["o-aaaaaaaaaa"]
    )
    assert not merged.runtimes[runtime_arn("12.16.1")].live
    restored = merged.merge(Manifest.of([], runtimes("12.16.1", deleted=first, restored=second)))
    assert restored.runtimes[runtime_arn("12.16.1")].live
    again = Manifest.of([], runtimes("12.16.1", published="2026-06-01T00:00:00Z"))
    assert restored.merge(again) == again  # created again under the same name


def test_runtimes_are_written_without_empty_fields_and_are_not_in_the_text(tmp_path):
    path = tmp_path / "layers.json"
    known = Manifest.of([], runtimes("12.16.1"))
    store.update(path, lambda _: known)
    assert set(json.loads(path.read_text())["runtimes"][runtime_arn("12.16.1")]) == {
        "node_version",
        "nodelayer_version",
        "architectures",
        "image",
        "published",
    }
    assert store.read(path) == known
    assert known.text() == ""


def test_a_manifest_of_schema_2_is_read(tmp_path):
    path = tmp_path / "layers.json"
    path.write_text(Manifest.of([layer()]).json_text().replace('"schema_version": 3', '"schema_version": 2'))
    assert store.read(path) == Manifest.of([layer()])


def test_a_manifest_of_schema_1_is_read(tmp_path):
    path = tmp_path / "layers.json"
    path.write_bytes(OLD.read_bytes())
    known = store.read(path)
    assert found(known, "12").published.published == "2026-05-06T07:08:09Z"
    assert [each.node_version for each in known.layers] == ["12.16.1", "18.20.8"]
    store.update(path, lambda known: known)
    assert json.loads(path.read_text())["schema_version"] == 3
    assert store.read(path) == known


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[]", "no schema_version"),
        ('{"schema_version": "2"}', "no schema_version"),
        ('{"schema_version": 4}', "has schema version 4, but this nodelayer reads at most 3"),
        ('{"schema_version": 2, "layers": [{}]}', "missing required field `node_version`"),
        ('{"schema_version": 2, "layers": [], "more": 1}', "unknown field `more`"),
        ('{"schema_version": 1, "layers": [7]}', "the manifest is not valid"),
        ('{"schema_version": 1, "layers": 7}', "the manifest is not valid"),
    ],
)
def test_an_invalid_manifest_is_rejected_with_the_reason(tmp_path, text, reason):
    path = tmp_path / "layers.json"
    path.write_text(text)
    with pytest.raises(NotVerifiedError, match=reason):
        store.read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"arn": "arn:aws:lambda:us-east-1:123456789012:layer:nodejs-12-16-1-x86_64:1"},
        {"arn": "arn:aws:lambda:eu-west-1:123456789012:layer:other:1"},
        {"arn": "arn:aws:s3:::bucket"},
        {"published": "yesterday"},
    ],
)
def test_a_contradictory_entry_is_rejected(tmp_path, change):
    path = tmp_path / "layers.json"
    raw = json.loads(Manifest.of([layer()]).json_text())
    raw["layers"][0]["regions"]["eu-west-1"].update(change)
    path.write_text(json.dumps(raw))
    with pytest.raises(NotVerifiedError):
        store.read(path)


@pytest.mark.parametrize(
    ("arn", "change"),
    [
        ("arn:aws:lambda:eu-west-1:123456789012:layer:nodejs-12-16-1-x86_64:1", {}),
        (runtime_arn("12.16.1").partition("/version/")[0], {}),
        (runtime_arn("12.16.1") + "/", {}),
        (runtime_arn("12.16.1"), {"node_version": "12.16.2"}),
        (runtime_arn("12.16.1"), {"nodelayer_version": "1.0.1"}),
        (runtime_arn("12.16.1").replace("nodejs-12", "nodejs-14"), {}),
        (runtime_arn("12.16.1"), {"architectures": []}),
        (runtime_arn("12.16.1"), {"architectures": ["sparc"]}),
        (runtime_arn("12.16.1"), {"image": "x:latest"}),
        (runtime_arn("12.16.1"), {"image": f"x@sha256:{'1' * 64}\n"}),
        (runtime_arn("12.16.1"), {"published": "2026-99-01T00:00:00Z"}),
        (runtime_arn("12.16.1"), {"restored": "2026-99-01T00:00:00Z"}),
        (runtime_arn("12.16.1"), {"organizations": ["o-1"]}),
        (runtime_arn("12.16.1"), {"accounts": ["1"]}),
    ],
)
def test_a_contradictory_runtime_is_rejected(tmp_path, arn, change):
    path = tmp_path / "layers.json"
    raw = json.loads(Manifest.of([], runtimes("12.16.1")).json_text())
    (entry,) = raw["runtimes"].values()
    path.write_text(json.dumps(raw | {"runtimes": {arn: entry | change}}))
    with pytest.raises(NotVerifiedError, match="the manifest is not valid"):
        store.read(path)


def test_a_failed_change_does_not_touch_the_file(tmp_path):
    path = tmp_path / "layers.json"
    store.update(path, lambda _: Manifest.of([layer()]))
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        store.update(path, lambda _: 1 / 0)
    assert path.read_bytes() == before
    assert store.update(path, lambda known: known).layers  # the lock is free again


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(MachineError, match="--manifest"):
        store.check_writable(tmp_path / "none" / "layers.json")


def test_a_link_to_the_manifest_stays_a_link(tmp_path):
    (tmp_path / "kept").mkdir()
    link = tmp_path / "layers.json"
    link.symlink_to(tmp_path / "kept" / "layers.json")
    store.update(link, lambda _: Manifest.of([layer()]))
    assert link.is_symlink()
    assert store.read(tmp_path / "kept" / "layers.json").layers


def test_concurrent_writers_lose_no_entry(tmp_path):
    path = tmp_path / "layers.json"

    def write(number):
        store.update(path, lambda known: known.merge(Manifest.of([layer(f"12.{number}.0")])))

    threads = [threading.Thread(target=write, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.read(path).layers) == 20
