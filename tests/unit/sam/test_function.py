"""The function of deploy and sam-build: which file its handler is in, and what SAM builds."""

import pytest
import yaml
from support import ROOT

from nodelayer.errors import InvalidInputError
from nodelayer.sam.function import Function, node_version_of

TEMPLATE = (ROOT / "template.yaml").read_text()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "my function (é)"
    (made / "src").mkdir(parents=True)
    return made


def rendered(function, zipped):
    """Return the properties of the function, its metadata and the layer's content."""

    class IgnoreTags(yaml.SafeLoader):
        pass

    IgnoreTags.add_multi_constructor("!", lambda *_: None)
    template = yaml.load(function.render(TEMPLATE, zipped), Loader=IgnoreTags)  # noqa: S506 - a SafeLoader
    made = template["Resources"]["Function"]
    return made["Properties"], made["Metadata"], template["Resources"]["Layer"]["Properties"]["ContentUri"]


@pytest.mark.parametrize(
    ("files", "typescript"),
    [
        (["app.js"], ""),
        (["app.ts"], "src/app.ts"),
        (["app.mts"], "src/app.mts"),
        (["app.ts", "app.mjs"], ""),
        (["app/index.js", "app.ts"], ""),
        (["app/other.js", "app.ts"], "src/app.ts"),
    ],
)
def test_only_a_handler_in_typescript_is_bundled(folder, files, typescript):
    for name in files:
        (folder / "src" / name).parent.mkdir(exist_ok=True)
        (folder / "src" / name).write_text("")
    function = Function(folder, "src/app.handler", "26.0.0-rc.1")
    assert function.variables == {"TYPESCRIPT": typescript, "TARGET": "node26.0.0"}


def test_template_names_the_users_function_and_the_makefile_of_the_sample(folder, tmp_path):
    (folder / "app.js").write_text("")
    (folder / "Makefile").write_text("deploy:\n\techo deployed\n")
    function, metadata, content = rendered(Function(folder, "app.main", "24.21.0"), tmp_path / "layer.zip")
    assert (function["CodeUri"], function["Handler"]) == (str(folder), "app.main")
    assert "Description" not in function
    assert metadata == {"BuildMethod": "makefile", "ContextPath": str(ROOT / "function")}
    assert content == str(tmp_path / "layer.zip")


def test_makefile_of_the_function_is_used_if_it_builds_the_function(folder):
    (folder / "Makefile").write_text("build-Function:\n\ttouch $(ARTIFACTS_DIR)/app.js\n")
    (folder / "app.ts").write_text("")
    function = Function(folder, "app.main", "24.21.0")
    assert function.variables == {"TYPESCRIPT": "app.ts", "TARGET": "node24.21.0"}
    assert rendered(function, folder)[1] == {"BuildMethod": "makefile"}


def test_sample_function_keeps_its_description_and_makefile(tmp_path):
    function, metadata, _ = rendered(Function(ROOT / "function", "function.handler", "24.21.0"), tmp_path)
    assert (function["CodeUri"], function["Handler"]) == (str(ROOT / "function"), "function.handler")
    assert function["Description"]
    assert metadata == {"BuildMethod": "makefile"}


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        ("app", "'app' is not a handler"),
        ("app.two words", "is not a handler"),
        ("missing.handler", "the folder has no file missing.js, .mjs, .cjs or .ts"),
    ],
)
def test_function_without_a_file_for_its_handler_is_an_error(folder, handler, message):
    with pytest.raises(InvalidInputError, match=message):
        Function(folder, handler, "24.21.0")
    with pytest.raises(InvalidInputError, match="the folder of the function does not exist"):
        Function(folder / "missing", "app.handler", "24.21.0")


def test_node_version_is_read_from_the_name_of_a_layer_or_is_the_oldest():
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:{}:1"
    assert node_version_of(arn.format("nodejs-24-21-0-x86_64")) == "24.21.0"
    assert node_version_of(arn.format("our-node")) == "12.0.0"
