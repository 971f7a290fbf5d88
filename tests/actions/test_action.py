"""The composite action and the reusable workflow, used by another repository."""

import json
import zipfile

import pytest
from actions.act import ROLE, Stage, copy_checkout, fit_to_act
from actions.conftest import LINE, REGIONS, changed_files
from support import ROOT

from actions import venv_links

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.full]

WORKFLOW = """\
on: workflow_dispatch
permissions: {}
jobs:
  layer:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - uses: aws-actions/configure-aws-credentials@e6de054238d6b7531b4efff3b6587d9aade6a06c # v6.2.3
        with:
          role-to-assume: ROLE
          aws-region: us-east-1
      - id: layer
        uses: nodelayer/nodelayer/actions/build-layer@v1
        with:
          node-version: file
          regions: eu-west-1,us-east-1
      - env:
          OUTPUTS: ${{ toJSON(steps.layer.outputs) }}
        run: |
          printf 'outputs=%s\\n' "$(printf %s "$OUTPUTS" | tr -d '\\n')"
          cp "$(printf %s "$OUTPUTS" | jq -r .zip)" "$KEPT"
""".replace("ROLE", ROLE)
CALLING = """\
on: workflow_dispatch
permissions: {}
jobs:
  layer:
    uses: nodelayer/nodelayer/.github/workflows/publish.yml@v1
    permissions:
      contents: read
      id-token: write
    with:
      node-version: ^12.16.1 <12.17
      regions: sa-east-1,us-east-1
      public: true
      role-to-assume: ROLE
  other:  # another version of the same architecture, in the same run
    uses: nodelayer/nodelayer/.github/workflows/publish.yml@v1
    permissions:
      contents: read
      id-token: write
    with:
      node-version: "OTHER"
      regions: eu-west-1
      role-to-assume: ROLE
  use:
    needs: [layer, other]
    runs-on: ubuntu-24.04
    steps:
      - env:
          ARNS: ${{ needs.layer.outputs.layer-arn }} ${{ needs.other.outputs.layer-arn }}
        run: printf 'arns=%s\\n' "$ARNS"
""".replace("ROLE", ROLE).replace("OTHER", LINE[0])
HOSTILE = """\
on: workflow_dispatch
permissions: {}
jobs:
  layer:
    runs-on: ubuntu-24.04
    steps:
      - uses: nodelayer/nodelayer/actions/build-layer@v1
        with:
          node-version: '12.16.1"; touch "$KEPT"; echo "$(touch $KEPT)'
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory, act, variables, index, runner):
    """Another repository with an .nvmrc and workflows that use the action by its major version."""
    folder = tmp_path_factory.mktemp("app")
    checkout = folder / "nodelayer"
    copy_checkout(ROOT, checkout)
    for name, text in changed_files(index).items():
        (checkout / name).write_text(text)
    fit_to_act(checkout)
    venv_links.link(runner, checkout)
    kept = folder / "kept.zip"
    made = Stage(folder, act=act, variables=variables | {"KEPT": str(kept)}, repository="somebody/app")
    made.actions["nodelayer/nodelayer@v1"] = checkout
    made.offer("nodelayer/nodelayer", ROOT, changed_files(index))
    made.prepare(runner)
    made.begin(
        {
            ".nvmrc": "12.16.1\n",
            ".github/workflows/layer.yml": WORKFLOW,
            ".github/workflows/calling.yml": CALLING,
            ".github/workflows/hostile.yml": HOSTILE,
        }
    )
    return made, kept


@pytest.fixture(scope="module")
def used(app):
    made, kept = app
    run = made.dispatch("layer.yml", ref="main")
    assert run.code == 0, run.text
    (line,) = [line for line in run.log["layer"].splitlines() if line.startswith("outputs=")]
    return json.loads(line.removeprefix("outputs=")), kept


def test_action_builds_the_version_in_nvmrc(used):
    outputs, kept = used
    assert outputs["zip"].endswith("nodejs-12.16.1-x86_64.zip")
    assert outputs["node-version"] == "12.16.1"
    assert outputs["layer-name"] == "nodejs-12-16-1-x86_64"
    with zipfile.ZipFile(kept) as opened:
        assert "bootstrap" in opened.namelist()


def test_action_publishes_to_the_named_regions_and_outputs_the_arns(used, ministack):
    outputs, _ = used
    (arns,) = json.loads(outputs["layer-arns"]).values()
    assert set(arns) == {"eu-west-1", "us-east-1"} < set(REGIONS)
    assert outputs["layer-arn"] == arns["us-east-1"]  # AWS_REGION
    for region, arn in arns.items():
        content = ministack.client("lambda", region).get_layer_version_by_arn(Arn=arn)["Content"]
        assert content["CodeSha256"] == outputs["code-sha256"]


@pytest.mark.long
def test_two_calls_of_the_reusable_workflow_in_a_run_publish_each_its_own_layer(app, ministack):
    made, _ = app
    run = made.dispatch("calling.yml", ref="main")
    assert run.code == 0, run.text
    assert {step["job"] for step in made.steps() if step["action"] == "configure-aws-credentials"} == {
        "publish"
    }
    arns = [each.split(":") for each in run.log["use"].strip().removeprefix("arns=").split()]
    assert [(each[3], each[6]) for each in arns] == [
        ("us-east-1", "nodejs-12-16-1-x86_64"),
        ("eu-west-1", f"nodejs-{LINE[0].replace('.', '-')}-x86_64"),
    ]
    client = ministack.client("lambda", "us-east-1")
    policy = client.get_layer_version_policy(LayerName=arns[0][6], VersionNumber=int(arns[0][7]))["Policy"]
    assert json.loads(policy)["Statement"][0]["Principal"] == "*"


@pytest.mark.long
def test_action_never_evaluates_its_inputs_as_shell_code(app):
    made, kept = app
    kept.unlink(missing_ok=True)
    run = made.dispatch("hostile.yml", ref="main")
    assert run.code != 0
    assert not kept.exists()
    assert "is not a Node.js version or range" in run.log["layer"]
