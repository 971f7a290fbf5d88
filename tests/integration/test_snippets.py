"""What a consumer pastes, given to the tool it is for."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass

import pytest
import requests
from tools import Tools

from nodelayer.catalog.snippets import Layer, render
from nodelayer.util.cache import DownloadCache

pytestmark = pytest.mark.network

SAM_CLI = ("aws-sam-cli==1.170.0", "cfn-lint==1.58.0")
AWS_CLI = ("awscli==1.46.3",)
MINISTACK = ("ministack==1.5.33",)
CDK_PYTHON = ("aws-cdk-lib==2.275.0", "constructs==10.8.1")
CDK = ("aws-cdk-lib@2.276.0", "constructs@10.8.1", "typescript@7.0.2")
OSLS = ("osls@4.3.1",)  # Serverless Framework v3, carried on; v4 of the original wants a login
AWS_PROVIDER = "@cdktf/provider-aws@21.22.1"  # its declarations are made from the schema of aws 6.25.0

DEPRECATED = {"W2531", "E2531"}  # the one until AWS stops to create functions, the other from then on
CDK_S_OWN = {"W3005"}  # it writes DependsOn beside a reference that implies it
# Without the last each start of a tool compiles it anew.
OF_THIS_MACHINE = ("AWS_", "TF_", "PYTHONDONTWRITEBYTECODE")
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/function"
NODE = "exports.handler = async () => process.version;\n"


def layer(architecture="x86_64", runtime="provided.al2023", region="eu-west-1", partition="aws"):
    arn = f"arn:{partition}:lambda:{region}:{ACCOUNT}:layer:nodejs-12-16-1-{architecture}:1"
    return Layer(arn, region, "12.16.1", architecture, runtime, {"arn": arn})


LAYERS = {
    "x86_64": layer(),
    "arm64": layer("arm64"),
    "China": layer(region="cn-north-1", partition="aws-cn"),
    "provided.al2": layer(runtime="provided.al2"),
    "provided": layer(runtime="provided"),
}
CURRENT = ("x86_64", "arm64", "China")
each_layer = pytest.mark.parametrize("name", LAYERS)
each_current_layer = pytest.mark.parametrize("name", CURRENT)


@pytest.fixture(scope="session")
def tools(cache_folder):
    return Tools(DownloadCache(cache_folder))


@pytest.fixture
def project(tmp_path):
    """A folder with the sources that every snippet speaks of."""
    (tmp_path / "function").mkdir()
    (tmp_path / "function" / "function.js").write_text(NODE)
    (tmp_path / "function.js").write_text(NODE)
    with zipfile.ZipFile(tmp_path / "function.zip", "w") as packed:
        packed.writestr("function.js", NODE)
    return tmp_path


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def run(*line, cwd, **variables):
    """Run a tool as in an account without credentials, and without a report to its makers."""
    quiet = {"SAM_CLI_TELEMETRY": "0", "SLS_TELEMETRY_DISABLED": "1", "CHECKPOINT_DISABLE": "1"}
    quiet |= {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OF_THIS_MACHINE)}
    done = subprocess.run(
        [*map(str, line)],
        cwd=cwd,
        env=kept | quiet | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def ran(*line, cwd, **variables):
    """As run, for what has to succeed; what it printed."""
    done = run(*line, cwd=cwd, **variables)
    assert done.code == 0, f"{' '.join(map(str, line))}: {done.out}{done.err}"
    return done.out


def findings(tools, region, *templates):
    """The ids of cfn-lint's rules that the templates break."""
    program = tools.pip(*SAM_CLI) / "bin" / "cfn-lint"
    done = run(program, "--format=json", f"--regions={region}", *templates, cwd=templates[0].parent)
    return {each["Rule"]["Id"] for each in json.loads(done.out)}


def function_of(template):
    """The properties of the one function in a CloudFormation template, as JSON."""
    resources = json.loads(template.read_bytes())["Resources"].values()
    (found,) = [each["Properties"] for each in resources if each["Type"] == "AWS::Lambda::Function"]
    return found


def told_of(function):
    """What a function's properties say of the layer and of what it was built for."""
    return {key: function[key] for key in ("Layers", "Architectures", "Runtime", "Handler")}


def function_on(wanted):
    return {
        "Layers": [wanted.arn],
        "Architectures": [wanted.architecture],
        "Runtime": wanted.runtime,
        "Handler": "function.handler",
    }


@each_current_layer
def test_sam_finds_nothing_to_say_of_its_template_and_builds_it(tools, project, name):
    sam = tools.pip(*SAM_CLI) / "bin" / "sam"
    wanted = LAYERS[name]
    (project / "template.yaml").write_text(render("sam", wanted) + "\n")
    told = ran(sam, "validate", "--lint", cwd=project, AWS_DEFAULT_REGION=wanted.region)
    assert "is a valid SAM Template" in told
    ran(sam, "build", cwd=project, AWS_DEFAULT_REGION=wanted.region)
    assert wanted.arn in (project / ".aws-sam" / "build" / "template.yaml").read_text()


@each_layer
def test_cfn_lint_finds_nothing_in_a_template_but_a_runtime_that_is_deprecated(tools, tmp_path, name):
    wanted = LAYERS[name]
    templates = [tmp_path / "sam.yaml", tmp_path / "cloudformation.yaml"]
    for template in templates:
        template.write_text(render(template.stem, wanted) + "\n")
    assert findings(tools, wanted.region, *templates) <= (set() if name in CURRENT else DEPRECATED)


@pytest.fixture(scope="session")
def _node_for_osls():
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(told.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip(f"osls needs Node.js 20 or newer, here is {told.strip()}")


@each_current_layer
@pytest.mark.usefixtures("_node_for_osls")
def test_serverless_packages_a_function_on_the_layer(tools, project, name):
    osls = tools.npm(*OSLS) / "node_modules" / ".bin" / "osls"
    (project / "serverless.yml").write_text(render("serverless", LAYERS[name]) + "\n")
    ran(osls, "package", cwd=project)
    packaged = project / ".serverless" / "cloudformation-template-update-stack.json"
    assert told_of(function_of(packaged)) == function_on(LAYERS[name])


CDK_APP = """
import * as cdk from 'aws-cdk-lib';
{imports}
const app = new cdk.App({{ outdir: 'out' }});
{stacks}
app.synth();
"""


def test_the_cdk_in_typescript_compiles_strictly_and_synthesizes_functions_on_the_layers(tools, project):
    modules = tools.npm(*CDK) / "node_modules"
    (project / "node_modules").symlink_to(modules)
    numbered = dict(enumerate(LAYERS.values()))
    for number, wanted in numbered.items():
        (project / f"stack{number}.ts").write_text(render("cdk", wanted) + "\n")
    imports = [f"import {{ FunctionStack as Stack{number} }} from './stack{number}';" for number in numbered]
    stacks = [f"new Stack{number}(app, 'Stack{number}');" for number in numbered]
    source = CDK_APP.format(imports="\n".join(imports), stacks="\n".join(stacks))
    (project / "app.ts").write_text(source)
    flags = ("--strict", "--noUnusedLocals", "--skipLibCheck", "--target", "es2022", "--module", "commonjs")
    ran(modules / ".bin" / "tsc", *flags, "app.ts", cwd=project)
    ran("node", "app.js", cwd=project)
    check_synthesized(tools, project / "out", numbered)


CDK_PYTHON_APP = """
import importlib
import aws_cdk as cdk

app = cdk.App(outdir="out")
for number in range({count}):
    importlib.import_module(f"stack{{number}}").FunctionStack(app, f"Stack{{number}}")
app.synth()
"""


def test_the_cdk_in_python_synthesizes_functions_on_the_layers(tools, project):
    python = tools.pip(*CDK_PYTHON) / "bin" / "python"
    numbered = dict(enumerate(LAYERS.values()))
    for number, wanted in numbered.items():
        (project / f"stack{number}.py").write_text(render("cdk-python", wanted) + "\n")
    (project / "app.py").write_text(CDK_PYTHON_APP.format(count=len(numbered)))
    ran(python, "app.py", cwd=project)
    check_synthesized(tools, project / "out", numbered)


def check_synthesized(tools, out, numbered):
    templates = {number: out / f"Stack{number}.template.json" for number in numbered}
    for number, wanted in numbered.items():
        assert told_of(function_of(templates[number])) == function_on(wanted)
    current = [templates.pop(number) for number in numbered if numbered[number].runtime == layer().runtime]
    assert findings(tools, "eu-west-1", *current) <= CDK_S_OWN
    assert findings(tools, "eu-west-1", *templates.values()) <= CDK_S_OWN | DEPRECATED


@pytest.fixture
def terraform():
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("terraform is not installed, and no package registry has it")
    return program


@each_layer
def test_terraform_would_not_format_its_file_otherwise(terraform, tmp_path, name):
    (tmp_path / "main.tf").write_text(render("terraform", LAYERS[name]) + "\n")
    assert ran(terraform, "fmt", "-check", "-diff", cwd=tmp_path) == ""


@each_layer
def test_terraform_plans_attributes_that_its_aws_provider_has(terraform, tools, project, name):
    """Without the provider itself, which only HashiCorp's registry has: Terraform's own resource takes its
    place for the plan, and what is planned is held against the declarations made from the provider's schema.
    """
    wanted = LAYERS[name]
    text = render("terraform", wanted)
    head = 'resource "aws_lambda_function" "function" {\n'
    before, found, body = text.partition(head)
    assert found
    stand_in = f'{before}resource "terraform_data" "function" {{\n  input = {{\n{body}\n}}\n'
    (project / "main.tf").write_text(stand_in)
    ran(terraform, "init", "-backend=false", cwd=project)
    ran(terraform, "validate", cwd=project)
    ran(terraform, "plan", "-input=false", f"-var=role_arn={ROLE}", "-out=planned", cwd=project)
    planned = json.loads(ran(terraform, "show", "-json", "planned", cwd=project))
    (resource,) = planned["planned_values"]["root_module"]["resources"]
    given = resource["values"]["input"]

    types, required = lambda_function_of_provider(tools)
    assert given.keys() <= types.keys()
    assert required <= given.keys()
    shown = {"string": str, "string[]": list}
    assert [key for key, value in given.items() if not isinstance(value, shown[types[key]])] == []
    assert given["layers"] == [wanted.arn]
    assert given["architectures"] == [wanted.architecture]
    assert [given["runtime"], given["handler"], given["role"]] == [wanted.runtime, "function.handler", ROLE]


def lambda_function_of_provider(tools):
    """The attributes of aws_lambda_function with their types, and the names of those that must be given."""
    text = tools.npm_file(AWS_PROVIDER, "lib/lambda-function/index.d.ts").read_text()
    resource, _, _ = text.partition("\n}\n")
    declared = re.findall(
        r"LambdaFunction#(\w+)\}(?:(?!\*/).)*\*/\s*readonly \w+(\??): ([^;]+);", resource, re.DOTALL
    )
    assert len(declared) > 20
    return {name: kind for name, _, kind in declared}, {name for name, maybe, _ in declared if not maybe}


class Cloud:
    """An emulated account, and AWS's command line that speaks to it."""

    def __init__(self, url, tools, folder):
        self._folder = folder
        self.variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PATH": f"{tools.pip(*AWS_CLI) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def aws(self, *line, **variables):
        return ran("aws", *line, cwd=self._folder, **self.variables, **variables)

    def published(self, wanted):
        """The layer, published to the emulated account with the function's own zip for content."""
        _, _, _, _, _, _, layer_name, version = wanted.arn.split(":")
        line = ["lambda", "publish-layer-version", f"--region={wanted.region}", f"--layer-name={layer_name}"]
        line += [f"--compatible-architectures={wanted.architecture}", "--zip-file=fileb://function.zip"]
        assert json.loads(self.aws(*line))["LayerVersionArn"] == wanted.arn
        assert version == "1"

    def function(self, name, region):
        line = ("lambda", "get-function-configuration", f"--region={region}", f"--function-name={name}")
        told = json.loads(self.aws(*line))
        return told | {"Layers": [each["Arn"] for each in told["Layers"]]}


@pytest.fixture
def cloud(tools, project):
    """MiniStack, a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = tools.pip(*MINISTACK) / "bin" / "ministack"
    variables = os.environ | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    log = (project / "ministack.log").open("w")
    with log, subprocess.Popen([program], cwd=project, env=variables, stdout=log, stderr=log) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/")
            yield Cloud(f"http://127.0.0.1:{port}", tools, project)
        finally:
            process.terminate()


def wait_for(url, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(requests.ConnectionError):
            return requests.get(url, timeout=5)
        time.sleep(0.1)
    raise AssertionError(f"MiniStack does not answer after {seconds} s")


@pytest.mark.parametrize("name", ["x86_64", "arm64"])
def test_the_command_creates_a_function_on_the_layer(cloud, project, name):
    wanted = LAYERS[name]
    cloud.published(wanted)
    (project / "create.sh").write_text(render("cli", wanted) + "\n")
    told = run("sh", "create.sh", cwd=project, **cloud.variables)
    assert told.code != 0
    assert "ROLE_ARN: set it to the role that the function runs as" in told.err
    ran("sh", "create.sh", cwd=project, **cloud.variables, ROLE_ARN=ROLE)
    assert told_of(cloud.function("function", wanted.region)) == function_on(wanted)


@pytest.mark.parametrize("name", ["x86_64", "arm64"])
def test_cloudformation_creates_a_function_on_the_layer(cloud, project, name):
    wanted = LAYERS[name]
    cloud.published(wanted)
    (project / "template.yaml").write_text(render("cloudformation", wanted) + "\n")
    region = f"--region={wanted.region}"
    cloud.aws("s3", "mb", "s3://code", region)
    cloud.aws("s3", "cp", "function.zip", "s3://code/function.zip", region)
    deploy = ["cloudformation", "deploy", "--template-file=template.yaml", "--stack-name=stack", region]
    deploy += ["--capabilities=CAPABILITY_IAM", "--parameter-overrides"]
    cloud.aws(*deploy, "CodeBucket=code", "CodeKey=function.zip")
    described = cloud.aws("cloudformation", "describe-stack-resources", "--stack-name=stack", region)
    resources = json.loads(described)["StackResources"]
    (name,) = [each["PhysicalResourceId"] for each in resources if each["LogicalResourceId"] == "Function"]
    assert told_of(cloud.function(name, wanted.region)) == function_on(wanted)
