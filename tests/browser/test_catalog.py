"""The catalogue in a browser: mouse, keyboard, phone, screen reader, without JavaScript."""

import itertools
import re

import msgspec
import pytest
from browser.conftest import BOTH, CANARY, EVERYWHERE, VARIED, layer
from catalog_fixtures import EVIL, KEY
from playwright.sync_api import Error, expect
from tools import Tools

from nodelayer.catalog import snippets
from nodelayer.errors import NotFoundError
from nodelayer.manifest.lookup import look_up, look_up_runtime
from nodelayer.manifest.model import Manifest
from nodelayer.util.cache import DownloadCache

pytestmark = [pytest.mark.browser, pytest.mark.full]

AXE = "axe-core@4.14.1"
WITHOUT_PROGRAM = """() => {
    document.documentElement.classList.remove('ready');
    document.getElementById('app').hidden = true;
}"""
FOCUSED = """() => {
    const at = document.activeElement;
    const shows = at.matches('input[type=radio]') ? at.nextElementSibling : at;
    const name = at.id || at.name || (at === document.body ? 'BODY' : at.textContent);
    return [name, getComputedStyle(shows).outlineStyle];
}"""
OPEN_EACH = """async (hashes) => {
    const arns = [];
    for (const hash of hashes) {
        const there = new Promise((done) => addEventListener('popstate', done, { once: true }));
        location.hash = hash;
        await there;
        const hero = document.getElementById('hero');
        const alias = document.getElementById('alias');
        const of = alias.hidden ? '' : ' ' + alias.querySelector('code').textContent;
        arns.push(hero.hidden ? null : document.getElementById('arn').textContent + of);
    }
    return arns;
}"""
SPECS = ("12", "12.16", "12.16.1", "v12.16.1", "13", "24", "lts", "lts/erbium", "latest", "26.0.0-rc.1", "26")
PROVIDED_STATUS = "deprecated 2024-01-08, no new functions, no updates from 2027-03-03"
EACH_SNIPPET = """() => Object.fromEntries([...document.querySelectorAll('[role=tab]')].map((tab) => {
    tab.click();
    return [tab.id.slice('tab-'.length), document.getElementById('snippet').textContent];
}))"""
CUT_LABELS = """() => [...document.querySelectorAll('select')].filter((select) => {
    const style = getComputedStyle(select);
    const pen = document.createElement('canvas').getContext('2d');
    pen.font = style.font;
    const room = select.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 20;
    return select.offsetParent && pen.measureText(select.selectedOptions[0].text).width > room;
}).map((select) => select.id)"""
PHONE = {"viewport": {"width": 360, "height": 780}}


def arn_of(page):
    return page.locator("#arn").text_content()


def looked_up(spec, region, arch="x86_64", known=VARIED):
    return look_up(known, spec, region, arch).published.arn


def looked_up_or_none(*asked):
    try:
        return looked_up(*asked)
    except NotFoundError:
        return None


def runtime_or_none(*asked):
    try:
        found = look_up_runtime(BOTH, *asked)
    except NotFoundError:
        return None
    return f"{found.arn.runtime} {found.alias}"


def open_choice(page, choice):
    page.evaluate(OPEN_EACH, [choice])


def fact(page, title):
    return page.locator("#facts div", has=page.get_by_text(title, exact=True)).locator("dd")


def pasted(page):
    return page.evaluate("navigator.clipboard.readText()")


# ---- choose


def test_the_page_opens_on_the_newest_lts_release(look, varied):
    page = look(varied.address)
    assert arn_of(page) == looked_up("24", "us-east-1")
    expect(page.get_by_label("Node.js line").first).to_have_value("24")
    expect(page.get_by_label("Version")).to_have_value("24")
    expect(page.get_by_role("table", name="The newest layer of each Node.js line")).to_have_count(0)


def test_page_shows_the_arn_of_the_chosen_version_region_and_architecture(look, varied):
    page = look(varied.address)
    page.locator("#line").select_option(label="12 Erbium (EOL)")
    page.locator("#version").select_option("12.16.1")
    page.locator("#region").select_option("eu-west-1")
    assert arn_of(page) == looked_up("12.16.1", "eu-west-1")
    page.get_by_role("radio", name="arm64").check()
    assert arn_of(page) == looked_up("12.16.1", "eu-west-1", "arm64")
    expect(page.locator("#hero-title")).to_have_text("Node.js 12.16.1 for arm64 in eu-west-1")


def test_link_selects_the_same_layer_as_the_arn_command(look, varied):
    page = look(varied.address)
    asked = list(itertools.product(SPECS, EVERYWHERE, ("x86_64", "arm64")))
    hashes = [f"node={spec}&region={region}&arch={arch}" for spec, region, arch in asked]
    given = page.evaluate(OPEN_EACH, hashes)
    assert dict(zip(asked, given, strict=True)) == {each: looked_up_or_none(*each) for each in asked}


def test_older_build_can_be_chosen_and_linked(look, varied):
    page = look(f"{varied.address}#node=12.16.1&region=eu-west-1")
    page.get_by_label("Layer build").select_option("1.0.0")
    expect(page.locator("#facts")).to_contain_text("by nodelayer 1.0.0")
    assert "build=1.0.0" in page.url
    page.reload()
    expect(page.locator("#facts")).to_contain_text("by nodelayer 1.0.0")


def test_page_keeps_the_last_chosen_region(look, varied):
    page = look(varied.address)
    page.locator("#region").select_option("eu-west-1")
    page.goto("about:blank")
    page.goto(varied.address)
    expect(page.locator("#region")).to_have_value("eu-west-1")


def test_page_suggests_published_layers_for_a_missing_layer_or_version(look, varied):
    page = look(f"{varied.address}#node=12.22.12&region=eu-west-1&arch=arm64")
    nothing = page.locator("#nothing-text")
    expect(nothing).to_have_text("No layer of Node.js 12.22.12 for arm64 is published in eu-west-1.")
    page.get_by_role("link", name="Node.js 12.16.1 for arm64 in eu-west-1").click()
    expect(page.locator("#arn")).to_have_text(looked_up("12.16.1", "eu-west-1", "arm64"))
    for spec in ("99", "carbonara", "<img src=x onerror=alert(1)>"):
        page.evaluate("spec => { location.hash = new URLSearchParams({node: spec}) }", spec)
        expect(nothing).to_have_text(f"Node.js {spec} is not published.")
    page.get_by_role("link", name=re.compile("Newest of 24")).click()
    expect(page.locator("#hero")).to_be_visible()


# ---- facts of a layer


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (
            "2027-02-01",
            (
                PROVIDED_STATUS,
                "deprecated 2026-07-31, no new functions, no updates from 2027-03-03",
                "until 2029-06-30",
            ),
        ),
        (
            "2029-06-30",
            (
                "deprecated 2024-01-08, closed to updates 2027-03-03",
                "deprecated 2026-07-31, closed to updates 2027-03-03",
                "deprecated 2029-06-30, no new functions from 2029-07-31, no updates from 2029-08-31",
            ),
        ),
    ],
)
def test_each_runtime_shows_its_support_status_on_the_current_date(look, varied, today, expected):
    page = look(f"{varied.address}#node=12.16.1&region=eu-west-1", today=f"{today}T12:00:00Z")
    names = ("provided", "provided.al2", "provided.al2023")
    expect(fact(page, "Runs on").locator(".row")).to_have_text(
        [name + words for name, words in zip(names, expected, strict=True)]
    )


def test_each_node_line_shows_its_end_of_life(look, varied):
    page = look(varied.address)
    for node, expected in {
        "12.16.1": "Node.js 12 Erbiumend of life since 2022-04-30",
        "24.20.0": "Node.js 24 Kryptonmaintained until 2028-04-30newer: 24.21.0",
        "12.0.0": (
            "Node.js 12 Erbium, a release before it became LTSend of life since 2022-04-30newer: 12.16.1"
        ),
        "13.14.0": "Node.js 13not an LTS line, end of life not known",
        "24.21.0": "Node.js 24 Kryptonmaintained until 2028-04-30",
    }.items():
        open_choice(page, f"node={node}&region=eu-west-1")
        expect(fact(page, "Node.js line")).to_have_text(expected)
    open_choice(page, "node=24.20.0&region=eu-west-1")
    page.get_by_role("link", name="newer: 24.21.0").click()
    expect(page.locator("#arn")).to_have_text(looked_up("24.21.0", "eu-west-1"))


def test_page_shows_the_facts_from_the_manifest(look, varied):
    page = look(varied.address)
    for choice, expected in {
        "node=12.16.1&region=eu-west-1&arch=arm64": "AWS Organizations o-a1b2c3d4e5",
        "node=13&region=eu-west-1": "The publisher\u2019s account only",
        "node=12.16.1&region=us-east-1&arch=x86_64": "Every AWS account",
    }.items():
        open_choice(page, choice)
        expect(fact(page, "Who may use it")).to_have_text(expected)
    entry = look_up(VARIED, "12.16.1", "us-east-1", "x86_64")
    expect(fact(page, "Size")).to_have_text("13.8 MB zipped, 38.4 MB unpacked")
    expect(fact(page, "Node.js from")).to_have_text(f"nodejs.org, OpenPGP signature by {KEY}")
    expect(fact(page, "CodeSha256")).to_contain_text(entry.layer.code_sha256)
    expect(fact(page, "Published").locator("time")).to_have_attribute("datetime", entry.published.published)


def test_page_shows_how_the_layer_started_on_lambda(look, varied, publish):
    page = look(f"{varied.address}#node=24.20.0&region=us-east-1")
    words = "starts in 118 ms on 512 MB (eu-west-1, 2026-11-26)"
    expect(fact(page, "On Lambda")).to_have_text(f"{words}; AWS\u2019s nodejs24.x: 131 ms")
    open_choice(page, "node=24.21.0&region=us-east-1")
    expect(fact(page, "On Lambda")).to_have_count(0)
    alone = msgspec.structs.replace(CANARY, aws_runtime=None, aws_init_ms=None)
    page = look(publish(Manifest.of([layer("24.20.0", canary=alone)])).address)
    expect(fact(page, "On Lambda")).to_have_text(words)


def test_sbom_is_linked_if_the_assets_url_is_known(look, varied, publish):
    sbom = re.compile("SBOM")
    expect(look(varied.address).get_by_role("link", name=sbom)).to_have_count(0)
    address = "https://example.org/nodejs-{node_version}/{file}"
    page = look(f"{publish(VARIED, assets_url=address).address}#node=12.16.1&region=eu-west-1&arch=arm64")
    expect(page.get_by_role("link", name=sbom)).to_have_attribute(
        "href", "https://example.org/nodejs-12.16.1/nodejs-12.16.1-arm64.cdx.json"
    )


# ---- snippets


def test_every_snippet_equals_the_output_of_the_arn_command(look, varied):
    page = look(varied.address)
    for spec, region, arch in (
        ("12.16.1", "eu-west-1", "x86_64"),
        ("12.16.1", "eu-west-1", "arm64"),
        ("24", "cn-north-1", "x86_64"),
        ("24", "us-east-1", "arm64"),
    ):
        found = look_up(VARIED, spec, region, arch)
        given = snippets.SnippetValues(
            arn=found.published.arn,
            region=region,
            node_version=found.layer.node_version,
            architecture=arch,
            runtime=max(found.layer.compatible_runtimes),
            as_json=found.as_json(),
        )
        open_choice(page, f"node={spec}&region={region}&arch={arch}")
        shown = page.evaluate(EACH_SNIPPET)
        assert {"arn": arn_of(page), **shown} == {
            format_: snippets.render(format_, given) for format_ in snippets.FORMATS
        }


def test_layer_without_a_runtime_has_an_arn_and_no_snippet(look, publish):
    page = look(publish(Manifest(layers=[layer("24.21.0", name="our_node", runtimes=[])])).address)
    expect(page.locator("#arn")).to_contain_text(":layer:our_node:")
    expect(page.locator("#use")).to_be_hidden()


# ---- runtimes


def test_link_selects_the_same_runtime_and_alias_as_the_arn_command(look, both):
    page = look(both.address)
    asked = list(itertools.product((*SPECS, "27.0.0-alpha.0.0.0"), EVERYWHERE, ("x86_64", "arm64")))
    hashes = [f"as=runtime&node={spec}&region={region}&arch={arch}" for spec, region, arch in asked]
    given = page.evaluate(OPEN_EACH, hashes)
    assert dict(zip(asked, given, strict=True)) == {each: runtime_or_none(*each) for each in asked}
    assert sum(each is not None for each in given) > 30


def test_runtime_is_offered_beside_the_layer_with_the_reason_to_choose_it(look, both):
    page = look(f"{both.address}#node=12.16.1&region=eu-west-1")
    expect(page.locator("#kinds")).to_contain_text("get new versions without a deployment")
    page.get_by_role("radio", name="Layer").focus()
    page.keyboard.press("ArrowRight")
    assert arn_of(page) == "arn:aws:lambda:eu-west-1:123456789012:runtime/nodejs-12"
    expect(page.locator("#alias")).to_have_text("Alias 12.16.1: the function stays on Node.js 12.16.1")
    expect(fact(page, "Who may use it")).to_have_text("AWS accounts 210987654321")
    expect(page.get_by_role("heading", name="Use the runtime")).to_be_visible()
    page.locator("#version").select_option("12")
    expect(page.locator("#alias")).to_have_text("Alias latest: the function follows Node.js 12")
    assert "as=runtime" in page.url
    page.reload()
    expect(page.locator("#alias")).to_contain_text("latest")
    page.get_by_role("radio", name="Layer").check()
    assert arn_of(page) == looked_up("12", "eu-west-1")
    open_choice(page, "as=runtime&node=24.20.0&region=eu-west-1&arch=x86_64")
    expect(page.locator("#nothing-text")).to_contain_text("No runtime of Node.js 24.20.0 for x86_64")
    page.get_by_role("link", name="As a layer").click()
    expect(page.locator("#arn")).to_have_text(looked_up("24.20.0", "eu-west-1"))


def test_every_runtime_snippet_equals_the_output_of_the_arn_command(look, both):
    page = look(both.address)
    for spec, region, arch in (("12.16.1", "cn-north-1", "arm64"), ("24", "us-east-1", "x86_64")):
        found = look_up_runtime(BOTH, spec, region, arch)
        given = snippets.RuntimeSnippetValues(
            arn=found.arn.runtime,
            alias=found.alias,
            region=region,
            node_version=found.version.node_version,
            architecture=arch,
            as_json=found.as_json(),
        )
        open_choice(page, f"as=runtime&node={spec}&region={region}&arch={arch}")
        shown = page.evaluate(EACH_SNIPPET)
        assert {"arn": arn_of(page), **shown} == {
            format_: snippets.render(format_, given) for format_ in snippets.FORMATS
        }


def test_page_offers_only_the_kind_that_is_published(look, varied, publish):
    expect(look(varied.address).locator("#kinds")).to_be_hidden()
    page = look(publish(Manifest.of([], BOTH.runtimes)).address)
    expect(page.locator("#kinds")).to_be_hidden()
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#alias")).to_have_text("Alias latest: the function follows Node.js 24")


# ---- copy


def test_the_copied_text_is_the_shown_text_and_is_announced(look, varied):
    page = look(f"{varied.address}#node=12.16.1&region=eu-west-1")
    page.get_by_role("button", name="Copy ARN").click()
    expect(page.locator("#said")).to_have_text("ARN copied")
    assert pasted(page) == arn_of(page)
    page.get_by_role("tab", name="Terraform").click()
    page.get_by_role("button", name="Copy the snippet for Terraform").click()
    expect(page.locator("#said")).to_have_text("Snippet copied")
    assert pasted(page) == page.locator("#snippet").text_content()


def test_copy_works_without_the_clipboard_api_or_explains_what_to_do(look, varied):
    page = look(varied.address)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }")
    page.get_by_role("button", name="Copy ARN").click()
    expect(page.locator("#said")).to_have_text("ARN copied")
    assert pasted(page) == arn_of(page)
    button = page.get_by_role("button", name="Copied")
    expect(button).to_be_focused()
    page.evaluate("() => { document.execCommand = () => false }")
    button.click()
    expect(page.locator("#said")).to_contain_text("Select the text and copy it yourself.")


# ---- URLs and history


def test_url_contains_the_choice_and_restores_it(look, varied):
    page = look(varied.address)
    page.locator("#line").select_option("12")
    page.locator("#region").select_option("eu-west-1")
    assert page.url == f"{varied.address}#node=12&region=eu-west-1&arch=x86_64"
    assert arn_of(look(page.url)) == arn_of(page)


def test_back_and_forward_restore_earlier_choices(look, varied):
    page = look(varied.address)
    first = arn_of(page)
    page.locator("#line").select_option("12")
    second = arn_of(page)
    page.locator("#region").focus()
    for _ in range(3):
        page.keyboard.press("ArrowUp")  # several key presses in one list are one history entry
    assert len({first, second, arn_of(page)}) == 3
    page.go_back()
    expect(page.locator("#arn")).to_have_text(second)
    expect(page.locator("#region")).to_have_value("us-east-1")
    page.go_back()
    expect(page.locator("#arn")).to_have_text(first)
    page.go_forward()
    expect(page.locator("#arn")).to_have_text(second)


# ---- the table


def rows(page):
    return page.locator("#rows th a").all_text_contents()


def test_filter_accepts_versions_regions_architectures_arns_and_checksums(look, varied):
    page = look(varied.address)
    everything = set(rows(page))
    assert len(everything) == 8
    for words, nodes in {
        "12.16": {"12.16.1"},
        "v24": {"24.20.0", "24.21.0"},
        "KRYPTON, arm64": {"24.21.0"},
        "al2": everything,
        "provided.al2 lts 12": {"12.16.1", "12.22.12"},
        "cn- 24": {"24.20.0"},
        "12.x": {"12.0.0", "12.16.1", "12.22.12"},
        ">=24 aarch64": {"24.21.0"},
        "> 24": {"25.0.0", "26.0.0-rc.1"},
        "<12.16 x64": {"12.0.0"},
        "ireland <=12": {"12.0.0", "12.16.1"},
        "nodejs-24-20-0-x86_64": {"24.20.0"},
        looked_up("24.21.0", "us-east-1", "arm64"): {"24.21.0"},
        looked_up("13.14.0", "us-east-1").replace("us-east-1", "us-west-2"): set(),
        VARIED.layers[0].code_sha256: {VARIED.layers[0].node_version},
        "6": set(),
        "": everything,
    }.items():
        page.get_by_label("Filter").fill(words)
        assert set(rows(page)) == nodes, words
    for support, majors in {"alive": {"24", "26"}, "ended": {"12"}}.items():
        page.locator("#only-support").select_option(support)
        assert {node.partition(".")[0] for node in rows(page)} == majors


def test_filter_by_the_arn_of_an_old_build_shows_the_arn_that_replaces_it(look, varied):
    page = look(varied.address)
    newest = looked_up("12.16.1", "eu-west-1")
    start = newest.rpartition(":")[0]
    for number in (1, 3):  # 3 is in the manifest
        page.get_by_label("Filter").fill(f"{start}:{number}")
        expect(page.locator("#successor")).to_contain_text(
            "Replaced by the layer version of nodelayer 1.1.0:"
        )
        expect(page.locator("#successor code")).to_have_text(newest)
        assert rows(page) == ["12.16.1", "12.16.1"]
    page.locator("#successor").get_by_role("button").click()
    assert pasted(page) == newest
    for words in (newest, start.replace("123456789012", "210987654321") + ":1", "12.16.1"):
        page.get_by_label("Filter").fill(words)
        expect(page.locator("#successor")).to_be_empty()


def test_url_contains_the_filter_and_restores_it(look, varied):
    page = look(varied.address)
    page.get_by_label("Filter").fill(">=24 x64")
    page.locator("#only-region").select_option("cn-north-1")
    page.locator("#only-support").select_option("alive")
    found = rows(page)
    assert found
    again = look(page.url)
    assert rows(again) == found
    assert again.get_by_label("Filter").input_value() == ">=24 x64"
    assert again.url.endswith("?filter=%3E%3D24+x64&in=cn-north-1&line=alive")


def test_the_newest_layer_is_on_top_and_the_page_counts_the_layers(look, varied):
    page = look(varied.address)
    assert rows(page)[0] == "26.0.0-rc.1"
    expect(page.locator("#count")).to_have_text(re.compile(r"^11 layers, \d+ layer versions$"))
    page.get_by_label("Filter").fill("nonsense")
    expect(page.locator("#count")).to_have_text("No layer matches. Use fewer words.")
    expect(page.get_by_role("table")).to_have_count(0)


def test_table_shows_the_arns_of_a_chosen_region(look, varied):
    page = look(varied.address)
    page.locator("#only-region").select_option("cn-north-1")
    page.get_by_label("Filter").fill("12.16.1")
    wanted = looked_up("12.16.1", "cn-north-1")
    expect(page.locator("#rows code").first).to_have_text(wanted)
    page.get_by_role("button", name="Copy the ARN for 12.16.1, x86_64, cn-north-1").first.click()
    expect(page.locator("#said")).to_have_text("ARN for cn-north-1 copied")
    assert pasted(page) == wanted


def test_region_list_expands_to_arns_and_collapses(look, varied):
    page = look(varied.address)
    page.get_by_label("Filter").fill("24.20.0")
    button = page.get_by_role("button", name="4 regions")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    found = page.get_by_role("list", name="ARNs of 24.20.0 for x86_64").locator("code").all_text_contents()
    assert found == [looked_up("24.20.0", region) for region in EVERYWHERE]
    button.click()
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#rows code")).to_have_count(0)


def test_link_in_the_table_chooses_the_version(look, varied):
    page = look(varied.address)
    page.get_by_role("link", name="12.0.0").click()
    expect(page.locator("#arn")).to_have_text(looked_up("12.0.0", "us-east-1"))
    expect(page.locator("#hero-title")).to_be_focused()
    expect(page.locator("#arn")).to_be_in_viewport()


def test_table_shows_many_layers_in_pages(look, publish):
    known = Manifest.of([layer(f"18.{minor}.0", arch) for minor in range(80) for arch in ("x86_64", "arm64")])
    page = look(publish(known).address)
    assert len(rows(page)) == 60
    expect(page.locator("#count")).to_have_text("160 layers, 640 layer versions; the first 60 are shown")
    page.get_by_role("button", name="Show 60 more").click()
    page.get_by_role("button", name="Show 40 more").click()
    assert len(rows(page)) == 160
    expect(page.locator("#further")).to_be_hidden()
    expect(page.locator("#rows a").nth(120)).to_be_focused()


# ---- keyboard, phone, accessibility


def test_keyboard_user_finds_and_copies_an_arn(look, varied):
    page = look(varied.address)
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the layers")).to_be_focused()
    before = arn_of(page)
    press("Enter")
    assert arn_of(page) == before
    press("Tab")
    expect(page.locator("#line")).to_be_focused()
    page.keyboard.type("12")
    press("Tab")
    press("Tab")
    page.keyboard.type("eu-west-1")
    press("Tab")
    press("ArrowRight")
    expect(page.get_by_role("radio", name="arm64")).to_be_checked()
    press("Tab")
    expect(page.get_by_role("button", name="Copy ARN")).to_be_focused()
    press("Enter")
    expect(page.locator("#said")).to_have_text("ARN copied")
    assert pasted(page) == looked_up("12", "eu-west-1", "arm64")


def test_arrow_keys_move_between_the_snippet_tabs(look, varied):
    page = look(varied.address)
    page.get_by_role("tab", name="SAM").focus()
    scrolled = page.evaluate("scrollY")
    for key, name in (
        ("ArrowRight", "CloudFormation"),
        ("End", "JSON"),
        ("ArrowRight", "SAM"),
        ("ArrowLeft", "JSON"),
        ("Home", "SAM"),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tab", selected=True)).to_have_text(name)
        assert page.evaluate("scrollY") == scrolled  # the keys do not scroll the page
    page.keyboard.press("Tab")
    expect(page.get_by_role("tabpanel", name="SAM")).to_be_focused()


def test_the_focused_element_is_visible(look, varied):
    page = look(varied.address)
    seen = {}
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUSED)
        if name == "BODY":
            break
        seen[name] = outline
    assert {"line", "arch", "copy-arn", "panel", "tab-sam", "words", "only-region"} <= set(seen)
    assert {name: outline for name, outline in seen.items() if outline != "solid"} == {}


def test_phone_layout_needs_no_horizontal_scrolling(look, both):
    page = look(both.address, **PHONE)
    page.get_by_label("Filter").fill("12.16.1")
    page.get_by_role("button", name=re.compile("4 regions")).first.click()
    for choice in (
        "node=12.16.1&region=eu-west-1&arch=arm64",
        "node=12.16.1&region=eu-west-1&arch=arm64&as=runtime",
        "node=99",
        "node=26.0.0-rc.1&region=eu-west-1",
    ):
        open_choice(page, choice)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#only-region").select_option("eu-west-1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    plain = look(both.address, java_script_enabled=False, **PHONE)
    assert plain.locator("html").evaluate("html => html.scrollWidth") <= 360


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_labels_are_not_truncated_and_layer_names_stay_on_one_line(look, varied, options):
    page = look(varied.address + "#node=12.16.1&region=us-east-1", **options)
    page.locator("#only-region").select_option("us-east-1")
    assert page.evaluate(CUT_LABELS) == []
    names = page.locator(".name:visible").filter(has_text="nodejs-")
    assert names.count() > 3
    assert names.evaluate_all("all => all.filter((name) => name.offsetHeight > 30).length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_field_border_has_enough_contrast(look, varied, scheme):
    style = "getComputedStyle(document.documentElement).getPropertyValue"
    page = look(varied.address, color_scheme=scheme)
    field, *around = (page.evaluate(f"{style}('--{name}')") for name in ("field", "paper", "card", "wash"))
    assert [color for color in around if contrast(field, color) < 3] == []  # WCAG 2.2, 1.4.11


def contrast(one, other):
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color):
    """Return the relative luminance of `#rrggbb`, by WCAG."""
    parts = [value / 255 for value in bytes.fromhex(color.strip().removeprefix("#"))]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.fixture(scope="session")
def axe(cache_folder):
    return (Tools(DownloadCache(cache_folder)).npm_files(AXE, "axe.min.js") / "axe.min.js").read_text()


@pytest.mark.network
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_violations(look, both, axe, scheme, options):
    page = look(f"{both.address}#node=12.16.1&region=eu-west-1&arch=x86_64", color_scheme=scheme, **options)
    page.evaluate(axe)
    assert violations(page) == []
    page.get_by_label("Filter").fill("12.16.1")
    page.get_by_role("button", name="4 regions").first.click()
    page.get_by_role("button", name="Copy ARN").click()
    assert violations(page) == []
    page.locator("#only-region").select_option("eu-west-1")
    page.get_by_role("radio", name="Runtime").check()
    assert violations(page) == []
    page.evaluate("() => { location.hash = 'node=99' }")
    expect(page.locator("#nothing")).to_be_visible()
    assert violations(page) == []
    page.evaluate(WITHOUT_PROGRAM)
    page.get_by_text("4 regions").first.click()
    assert violations(page) == []


def violations(page):
    """Return the violations that axe finds, with their markup; check that axe ran its rules."""
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(result["passes"]) > 15
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in result["violations"]]


# ---- other environments


def test_page_works_from_a_local_file(look, varied):
    page = look((varied.folder / "index.html").as_uri())
    page.locator("#line").select_option("12")
    page.locator("#region").select_option("eu-west-1")
    assert arn_of(page) == looked_up("12", "eu-west-1")
    page.go_back()
    expect(page.locator("#region")).to_have_value("us-east-1")


def test_without_javascript_the_page_shows_the_newest_arns_and_links_all_as_text(look, both):
    page = look(both.address, java_script_enabled=False)
    row = page.get_by_role("row", name=re.compile("24.21.0.*arm64"))
    row.get_by_text("2 regions").click()
    expect(row).to_contain_text(looked_up("24.21.0", "eu-west-1", "arm64"))
    row = page.get_by_role("row", name=re.compile("nodejs-12 12.22.12"))
    row.get_by_text("4 regions").click()
    expect(row).to_contain_text("arn:aws-cn:lambda:cn-north-1:123456789012:runtime/nodejs-12")
    expect(page.get_by_label("Filter")).to_be_hidden()
    link = page.get_by_role("main").get_by_role("link", name="layers.txt")
    text = both.folder / link.get_attribute("href")
    assert looked_up("12.0.0", "cn-north-1") in text.read_text()


@pytest.mark.parametrize(
    "options", [{}, {"java_script_enabled": False}], ids=["with JavaScript", "without JavaScript"]
)
def test_the_page_of_an_empty_manifest_says_that_no_layer_is_published(look, publish, options):
    page = look(publish(Manifest()).address, **options)
    expect(page.get_by_text("No layer is published yet.").first).to_be_visible()
    expect(page.get_by_role("button", name="Copy ARN")).to_have_count(0)


def test_script_in_a_manifest_is_shown_as_text(look, publish):
    known = layer("24.21.0", public=False, organizations=[EVIL], runtimes=[EVIL, "provided.al2023"])
    page = look(publish(Manifest.of([known])).address)
    expect(page.locator("#facts")).to_contain_text(f"AWS Organizations {EVIL}")
    page.get_by_role("button", name="4 regions").click()
    expect(page.locator("#rows")).to_contain_text(EVIL)
    assert page.locator("img").count() == 0
    assert "run" not in page.title()


def test_an_injected_script_does_not_run(browser, publish):
    catalogue = publish(VARIED)
    page = catalogue.folder / "index.html"
    injected = "<script>window.ran = 1</script><img src='data:,' onerror='window.ran = 1'></main>"
    page.write_text(page.read_text().replace("</main>", injected))
    context = browser.new_context()
    page = context.new_page()
    page.goto(catalogue.address)
    expect(page.locator("#arn")).to_be_visible()
    assert page.evaluate("window.ran") is None
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("() => { document.body.innerHTML = '<p>x</p>' }")
    context.close()
