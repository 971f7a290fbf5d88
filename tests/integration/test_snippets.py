"""Each snippet, processed by the tool that it is for."""

import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import botocore
import pytest
from publish import emulators
from publish.emulators import ACCOUNT
from publish.lambda_core import LambdaCore
from support import ROOT, Outcome
from tools import Tools

from nodelayer.catalog.snippets import RuntimeSnippetValues, SnippetValues, render, render_regions
from nodelayer.util.cache import DownloadCache

pytestmark = [pytest.mark.network, pytest.mark.full]

SAM_CLI = ("aws-sam-cli==1.170.0", "cfn-lint==1.58.0")
AWS_CLI = ("awscli==1.46.3",)
CDK_PYTHON = ("aws-cdk-lib==2.275.0", "constructs==10.8.1")
CDK = ("aws-cdk-lib@2.276.0", "constructs@10.8.1", "typescript@7.0.2")
JSONATA = ("jsonata@2.2.1",)  # the version that Renovate 44 uses
OSLS = ("osls@4.3.1",)  # a fork of Serverless Framework v3; v4 requires a login
AWS_PROVIDER = "@cdktf/provider-aws@21.22.1"  # generated from the schema of aws 6.25.0

DEPRECATED = {"W2531", "E2531"}  # W until AWS blocks new functions, E from then on
CDK_S_OWN = {"W3005"}  # CDK writes a DependsOn that a reference implies
# cfn-lint 1.58.0 does not know the runtime `custom` and RuntimeConfig. So it does not check their values.
UNKNOWN_RUNTIME = {
    ("E3030", "'custom' is not one of ["),
    ("E3002", "Additional properties are not allowed ('RuntimeConfig' was unexpected)"),
}
# With PYTHONDONTWRITEBYTECODE each start of a tool would compile it again.
OF_THIS_MACHINE = ("AWS_", "TF_", "PYTHONDONTWRITEBYTECODE")
TERRAFORM = shutil.which("terraform")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/function"
NODE = "exports.handler = async () => process.version;\n"


def layer(architecture="x86_64", runtime="provided.al2023", region="eu-west-1", partition="aws"):
    arn = f"arn:{partition}:lambda:{region}:{ACCOUNT}:layer:nodejs-12-16-1-{architecture}:1"
    return SnippetValues(arn, region, "12.16.1", architecture, runtime, {"arn": arn})


LAYERS = {
    "x86_64": layer(),
    "arm64": layer("arm64"),
    "China": layer(region="cn-north-1", partition="aws-cn"),
    "provided.al2": layer(runtime="provided.al2"),
    "provided": layer(runtime="provided"),
}
CURRENT = ("x86_64", "arm64", "China")


def runtime(architecture="x86_64", region="eu-west-1", partition="aws", alias="latest"):
    arn = f"arn:{partition}:lambda:{region}:{ACCOUNT}:runtime/nodejs-12"
    return RuntimeSnippetValues(arn, alias, region, "12.16.1", architecture, {"arn": arn})


RUNTIMES = {"x86_64": runtime(alias="12.16.1"), "arm64": runtime("arm64")}
CREATED = ("x86_64", "arm64")
each_created_layer = pytest.mark.parametrize("name", CREATED)
each_layer = pytest.mark.parametrize("name", LAYERS)
each_current_layer = pytest.mark.parametrize("name", CURRENT)
each_value = pytest.mark.parametrize(
    "wanted", [*(LAYERS[name] for name in CURRENT), RUNTIMES["arm64"]], ids=[*CURRENT, "runtime"]
)


@pytest.fixture(scope="session")
def tools(cache_folder):
    return Tools(DownloadCache(cache_folder))


@pytest.fixture
def project(tmp_path):
    """A folder with the sources that the snippets refer to."""
    (tmp_path / "function").mkdir()
    (tmp_path / "function" / "function.js").write_text(NODE)
    (tmp_path / "function.js").write_text(NODE)
    with zipfile.ZipFile(tmp_path / "function.zip", "w") as packed:
        packed.writestr("function.js", NODE)
    return tmp_path


def run(*line, cwd, **variables):
    """Run a tool without credentials and without telemetry."""
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
    return Outcome(done.returncode, done.stdout, done.stderr)


def run_checked(*line, cwd, **variables):
    """Run a tool that must succeed; return its output."""
    done = run(*line, cwd=cwd, **variables)
    assert done.code == 0, f"{' '.join(map(str, line))}: {done.out}{done.err}"
    return done.out


def findings(tools, region, *templates):
    """Return the ids of the cfn-lint rules that the templates violate."""
    program = tools.pip(*SAM_CLI) / "bin" / "cfn-lint"
    done = run(program, "--format=json", f"--regions={region}", *templates, cwd=templates[0].parent)
    found = {(each["Rule"]["Id"], each["Message"]) for each in json.loads(done.out)}
    return {rule for rule, message in found if not unknown_runtime(rule, message)}


def unknown_runtime(rule, message):
    return any(rule == known and message.startswith(start) for known, start in UNKNOWN_RUNTIME)


def function_of(template):
    """Return the properties of the only function in a CloudFormation template in JSON."""
    resources = json.loads(template.read_bytes())["Resources"].values()
    (found,) = [each["Properties"] for each in resources if each["Type"] == "AWS::Lambda::Function"]
    return found


def check_function(function, wanted):
    """Check the layer or the runtime of a function, its architecture and its handler."""
    expected = {"Architectures": [wanted.architecture], "Handler": "function.handler"}
    if isinstance(wanted, RuntimeSnippetValues):
        config = {"RuntimeArn": wanted.arn, "RuntimeAlias": wanted.alias}
        expected |= {"Runtime": "custom", "RuntimeConfig": config}
        assert not function.get("Layers")
    else:
        expected |= {"Runtime": wanted.runtime, "Layers": [wanted.arn]}
    assert {key: function[key] for key in expected} == expected


@each_value
def test_sam_builds_its_snippet(tools, project, wanted):
    sam = tools.pip(*SAM_CLI) / "bin" / "sam"
    (project / "template.yaml").write_text(render("sam", wanted) + "\n")
    run_checked(sam, "build", cwd=project, AWS_DEFAULT_REGION=wanted.region)
    assert wanted.arn in (project / ".aws-sam" / "build" / "template.yaml").read_text()


EVERYWHERE = [layer(region=region) for region in ("eu-west-1", "us-east-1")]
USES_MAPPING = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: function.handler
      InlineCode: ''
      Layers: [!FindInMap [NodeLayer, !Ref AWS::Region, Arn]]
"""
USES_MAP_AND_PARAMETER = """
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { App, Stack } from 'aws-cdk-lib';
import { nodeLayers } from './layers';
import { NodeLayer } from './parameter';

const app = new App();
const stack = new Stack(app, 'Stack', { env: { region: 'us-east-1' } });
new lambda.Function(stack, 'Function', {
  runtime: lambda.Runtime.PROVIDED_AL2023,
  handler: 'function.handler',
  code: lambda.Code.fromAsset('function'),
  layers: [
    lambda.LayerVersion.fromLayerVersionArn(stack, 'FromMap', nodeLayers[stack.region]),
    new NodeLayer(stack, 'FromParameter', '24').layer,
  ],
});
console.log(JSON.stringify(app.synth().getStackByName('Stack').template));
"""
PARAMETER = "/nodelayer/24/x86_64/arn"


def documented(mark):
    """Return the code block of docs/using.md that follows a mark."""
    page = (ROOT / "docs" / "using.md").read_text("utf-8")
    return re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```\n", page, re.DOTALL)[1]


@pytest.mark.parametrize(
    ("region", "names", "accepted"),
    [
        ("eu-west-1", ("x86_64", "arm64"), set()),
        ("cn-north-1", ("China",), set()),
        ("eu-west-1", ("provided.al2", "provided"), DEPRECATED),
    ],
)
def test_cfn_lint_finds_only_deprecated_runtimes(tools, tmp_path, region, names, accepted):
    texts = [render(each, LAYERS[name]) for each in ("sam", "cloudformation") for name in names]
    texts += [render_regions("sam", EVERYWHERE) + USES_MAPPING, with_parameter(LAYERS[names[0]])]
    texts += [
        render(each, RUNTIMES[name])
        for each in ("sam", "cloudformation")
        for name in names
        if name in RUNTIMES
    ]
    templates = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for template, text in zip(templates, texts, strict=True):
        template.write_text(text.rstrip("\n") + "\n")
    assert findings(tools, region, *templates) <= accepted


def with_parameter(wanted):
    """Return the CloudFormation snippet with the documented parameter in place of the ARN."""
    text = render("cloudformation", wanted).replace("Parameters:\n", documented("ssm cloudformation"))
    return text.replace(f"- {wanted.arn}", "- !Ref NodeLayer")


@pytest.mark.skipif(TERRAFORM is None, reason="no terraform: no package registry has it")
def test_terraform_reads_the_map_of_all_regions(tmp_path):
    output = 'output "arn" {\n  value = local.node_layers["us-east-1"]\n}\n'
    (tmp_path / "main.tf").write_text(f"{render_regions('terraform', EVERYWHERE)}\n\n{output}")
    assert run_checked(TERRAFORM, "fmt", "-check", "-diff", cwd=tmp_path) == ""
    run_checked(TERRAFORM, "init", "-backend=false", cwd=tmp_path)
    run_checked(TERRAFORM, "apply", "-auto-approve", cwd=tmp_path)
    assert run_checked(TERRAFORM, "output", "-raw", "arn", cwd=tmp_path) == EVERYWHERE[1].arn


@pytest.fixture(scope="session")
def _node_for_osls():
    output = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(output.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip("node is older than 20, which osls needs: install a newer Node.js")


@each_value
@pytest.mark.usefixtures("_node_for_osls")
def test_serverless_packages_a_function(tools, project, wanted):
    osls = tools.npm(*OSLS) / "node_modules" / ".bin" / "osls"
    (project / "serverless.yml").write_text(render("serverless", wanted) + "\n")
    run_checked(osls, "package", cwd=project)
    packaged = project / ".serverless" / "cloudformation-template-update-stack.json"
    check_function(function_of(packaged), wanted)


CDK_APP = """
import * as cdk from 'aws-cdk-lib';
{imports}
const app = new cdk.App({{ outdir: 'out' }});
{stacks}
app.synth();
"""


def test_cdk_typescript_snippets_compile_strictly_and_synthesize(tools, project):
    modules = tools.npm(*CDK) / "node_modules"
    (project / "node_modules").symlink_to(modules)
    numbered = dict(enumerate([*LAYERS.values(), *RUNTIMES.values()]))
    for number, wanted in numbered.items():
        (project / f"stack{number}.ts").write_text(render("cdk", wanted) + "\n")
    imports = [f"import {{ FunctionStack as Stack{number} }} from './stack{number}';" for number in numbered]
    stacks = [f"new Stack{number}(app, 'Stack{number}');" for number in numbered]
    source = CDK_APP.format(imports="\n".join(imports), stacks="\n".join(stacks))
    (project / "app.ts").write_text(source)
    flags = ("--strict", "--noUnusedLocals", "--skipLibCheck", "--target", "es2022", "--module", "commonjs")
    run_checked(modules / ".bin" / "tsc", *flags, "app.ts", cwd=project)
    run_checked("node", "app.js", cwd=project)
    check_synthesized(tools, project / "out", numbered)
    (project / "layers.ts").write_text(render_regions("cdk", EVERYWHERE) + "\n")
    (project / "parameter.ts").write_text(documented("ssm cdk"))
    (project / "both.ts").write_text(USES_MAP_AND_PARAMETER)
    run_checked(modules / ".bin" / "tsc", *flags, "both.ts", cwd=project)
    template = json.loads(run_checked("node", "both.js", cwd=project))
    (name,) = [name for name, each in template["Parameters"].items() if each["Default"] == PARAMETER]
    assert template["Parameters"][name]["Type"] == "AWS::SSM::Parameter::Value<String>"
    (function,) = [each for each in template["Resources"].values() if "Layers" in each["Properties"]]
    assert function["Properties"]["Layers"] == [EVERYWHERE[1].arn, {"Ref": name}]


CDK_PYTHON_APP = """
import importlib
import aws_cdk as cdk

app = cdk.App(outdir="out")
for number in range({count}):
    importlib.import_module(f"stack{{number}}").FunctionStack(app, f"Stack{{number}}")
app.synth()
"""


def test_cdk_python_snippets_synthesize(tools, project):
    python = tools.pip(*CDK_PYTHON) / "bin" / "python"
    numbered = dict(enumerate([*LAYERS.values(), *RUNTIMES.values()]))
    for number, wanted in numbered.items():
        (project / f"stack{number}.py").write_text(render("cdk-python", wanted) + "\n")
    (project / "app.py").write_text(CDK_PYTHON_APP.format(count=len(numbered)))
    run_checked(python, "app.py", cwd=project)
    check_synthesized(tools, project / "out", numbered)


def check_synthesized(tools, out, numbered):
    templates = {number: out / f"Stack{number}.template.json" for number in numbered}
    for number, wanted in numbered.items():
        check_function(function_of(templates[number]), wanted)
    deprecated = [
        number for number in numbered if numbered[number] in (LAYERS["provided"], LAYERS["provided.al2"])
    ]
    current = [templates.pop(number) for number in numbered if number not in deprecated]
    assert findings(tools, "eu-west-1", *current) <= CDK_S_OWN
    assert findings(tools, "eu-west-1", *templates.values()) <= CDK_S_OWN | DEPRECATED


@each_layer
@pytest.mark.skipif(TERRAFORM is None, reason="no terraform: no package registry has it")
def test_terraform_snippet_uses_only_attributes_of_the_aws_provider(tools, project, name):
    wanted = LAYERS[name]
    text = render("terraform", wanted)
    given = planned_resource(project, text, "aws_lambda_function", role_arn=ROLE)
    types, required = of_provider(tools, "lambda-function", "LambdaFunction")
    assert given.keys() <= types.keys()
    assert required <= given.keys()
    shown = {"string": str, "string[]": list}
    assert [key for key, value in given.items() if not isinstance(value, shown[types[key]])] == []
    assert given["layers"] == [wanted.arn]
    assert given["architectures"] == [wanted.architecture]
    assert [given["runtime"], given["handler"], given["role"]] == [wanted.runtime, "function.handler", ROLE]


@pytest.mark.skipif(TERRAFORM is None, reason="no terraform: no package registry has it")
def test_terraform_snippet_of_a_runtime_is_a_valid_stack(tools, project):
    """Whether Lambda accepts the stack's RuntimeConfig cannot be tested here."""
    wanted = RUNTIMES["x86_64"]
    variables = {"role_arn": ROLE, "code_bucket": "codes", "code_key": "function.zip"}
    given = planned_resource(project, render("terraform", wanted), "aws_cloudformation_stack", **variables)
    functions, _ = of_provider(tools, "lambda-function", "LambdaFunction")
    assert "runtime_config" not in functions  # with a provider that has it, the snippet needs no stack
    types, required = of_provider(tools, "cloudformation-stack", "CloudformationStack")
    assert given.keys() == {"name", "template_body"} <= types.keys()
    assert required <= given.keys()
    template = project / "stack.json"
    template.write_text(given["template_body"])
    check_function(function_of(template), wanted)
    assert findings(tools, "eu-west-1", template) == set()


def planned_resource(project, text, kind, **variables):
    """Return the attributes that Terraform plans for the only resource of a snippet.

    The AWS provider is only in HashiCorp's registry, so Terraform's own resource takes its place. The caller
    compares the attributes with declarations that were made from the provider's schema.
    """
    (project / "main.tf").write_text(text + "\n")
    assert run_checked(TERRAFORM, "fmt", "-check", "-diff", cwd=project) == ""
    before, found, body = text.partition(f'resource "{kind}" "function" {{\n')
    assert found
    stand_in = f'{before}resource "terraform_data" "function" {{\n  input = {{\n{body}\n}}\n'
    (project / "main.tf").write_text(stand_in)
    run_checked(TERRAFORM, "init", "-backend=false", cwd=project)
    run_checked(TERRAFORM, "validate", cwd=project)
    given = [f"-var={name}={value}" for name, value in variables.items()]
    run_checked(TERRAFORM, "plan", "-input=false", *given, "-out=planned", cwd=project)
    planned = json.loads(run_checked(TERRAFORM, "show", "-json", "planned", cwd=project))
    (resource,) = planned["planned_values"]["root_module"]["resources"]
    return resource["values"]["input"]


@pytest.mark.skipif(TERRAFORM is None, reason="no terraform: no package registry has it")
def test_terraform_data_source_of_the_parameter_has_only_attributes_of_the_aws_provider(tools, tmp_path):
    text = documented("ssm terraform")
    (tmp_path / "main.tf").write_text(text)
    assert run_checked(TERRAFORM, "fmt", "-check", "-diff", cwd=tmp_path) == ""
    declared = provider(tools, "data-aws-ssm-parameter")
    assert f'name = "{PARAMETER}"' in text
    assert "set name(value: string)" in declared
    assert "data.aws_ssm_parameter.node_layer.insecure_value" in text
    assert "get insecureValue(): string" in declared


def of_provider(tools, name, title):
    """Return the attributes of a resource with their types, and the required ones."""
    resource, _, _ = provider(tools, name).partition("\n}\n")
    declared = re.findall(
        rf"{title}#(\w+)\}}(?:(?!\*/).)*\*/\s*readonly \w+(\??): ([^;]+);", resource, re.DOTALL
    )
    assert len(declared) > 10
    return {name: kind for name, _, kind in declared}, {name for name, maybe, _ in declared if not maybe}


def provider(tools, name):
    """Return the declarations of a resource or a data source."""
    names = ("lambda-function", "data-aws-ssm-parameter", "cloudformation-stack")
    files = {each: f"lib/{each}/index.d.ts" for each in names}
    return (tools.npm_files(AWS_PROVIDER, *files.values()) / files[name]).read_text()


@pytest.fixture(scope="session")
def cloud(cache_folder):
    """An emulated account with the layers, whose content does not matter."""
    with emulators.ministack(cache_folder) as running:
        for name in CREATED:
            assert publish(running, LAYERS[name]) == LAYERS[name].arn
        yield running


def publish(cloud, wanted):
    """Publish a layer version; return its ARN."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("bootstrap", "")
    published = cloud.client("lambda", wanted.region).publish_layer_version(
        LayerName=wanted.arn.split(":")[6], Content={"ZipFile": content.getvalue()}
    )
    return published["LayerVersionArn"]


def check_created(cloud, wanted, name):
    found = cloud.client("lambda", wanted.region).get_function_configuration(FunctionName=name)
    check_function(found | {"Layers": [each["Arn"] for each in found["Layers"]]}, wanted)


@each_created_layer
def test_cli_snippet_creates_a_function_on_the_layer(cloud, tools, project, name):
    wanted = LAYERS[name]
    client = cloud.client("lambda", wanted.region)
    for each in client.list_functions()["Functions"]:
        client.delete_function(FunctionName=each["FunctionName"])
    (project / "create.sh").write_text(render("cli", wanted) + "\n")
    variables = variables_of_aws_cli(cloud, tools)
    outcome = run("sh", "create.sh", cwd=project, **variables)
    assert outcome.code != 0
    assert "ROLE_ARN: set it to the role that the function runs as" in outcome.err
    run_checked("sh", "create.sh", cwd=project, **variables, ROLE_ARN=ROLE)
    check_created(cloud, wanted, "function")


def test_cli_snippet_of_a_runtime_creates_a_function(tools, project):
    """The AWS CLI 1.46.3 has no --runtime-config, so it gets the service model of the installed botocore."""
    wanted = RUNTIMES["x86_64"]
    (project / "create.sh").write_text(render("cli", wanted) + "\n")
    model = Path(botocore.__file__).parent / "data"
    with LambdaCore() as server:
        core = server.client("lambda-core", wanted.region)
        core.create_runtime(Name="nodejs-12")
        of = {"RuntimeName": "nodejs-12"}
        core.create_runtime_version(**of, Name="12.16.1_1.0.0", ImageUri="images/nodejs-12:12.16.1_1.0.0")
        core.create_runtime_alias(**of, Name=wanted.alias, RuntimeVersion="12.16.1_1.0.0")
        variables = variables_of_aws_cli(server, tools) | {"AWS_DATA_PATH": str(model)}
        run_checked("sh", "create.sh", cwd=project, **variables, ROLE_ARN=ROLE)
        found = server.client("lambda", wanted.region).get_function_configuration(FunctionName="function")
    check_function(found, wanted)


def variables_of_aws_cli(endpoint, tools):
    """Return the variables with which a shell finds the AWS CLI, and the AWS CLI an endpoint."""
    return {
        "PATH": f"{tools.pip(*AWS_CLI) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": endpoint.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@each_created_layer
def test_cloudformation_snippet_creates_a_function_on_the_layer(cloud, project, name):
    _, function = create_stack(cloud, project, name.replace("_", "-"), render("cloudformation", LAYERS[name]))
    check_created(cloud, LAYERS[name], function)


def test_cloudformation_reads_the_parameter_again_at_each_update(cloud, project):
    wanted = LAYERS["x86_64"]
    parameters = cloud.client("ssm", wanted.region)
    parameters.put_parameter(Name=PARAMETER, Value=wanted.arn, Type="String")
    formation, function = create_stack(cloud, project, "followed", with_parameter(wanted))
    check_created(cloud, wanted, function)

    newer = publish(cloud, wanted)
    parameters.put_parameter(Name=PARAMETER, Value=newer, Type="String", Overwrite=True)
    kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in ("NodeLayer", "CodeBucket", "CodeKey")]
    capable = {"Capabilities": ["CAPABILITY_IAM"]}
    formation.update_stack(StackName="followed", UsePreviousTemplate=True, Parameters=kept, **capable)
    formation.get_waiter("stack_update_complete").wait(StackName="followed", WaiterConfig={"Delay": 1})
    check_created(cloud, replace(wanted, arn=newer), function)


def create_stack(cloud, project, stack, template):
    """Create a stack in eu-west-1; return the client of CloudFormation, and the name of the function."""
    storage = cloud.client("s3", layer().region)
    place = {"LocationConstraint": layer().region}
    storage.create_bucket(Bucket=stack, CreateBucketConfiguration=place)
    storage.upload_file(str(project / "function.zip"), stack, "function.zip")
    formation = cloud.client("cloudformation", layer().region)
    formation.create_stack(
        StackName=stack,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": "CodeBucket", "ParameterValue": stack},
            {"ParameterKey": "CodeKey", "ParameterValue": "function.zip"},
        ],
    )
    formation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    resources = formation.describe_stack_resources(StackName=stack)["StackResources"]
    ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    return formation, ids["Function"]


# Renovate

TRANSFORM = """
const jsonata = require('jsonata');
const [manifest, template, region] = process.argv.slice(1);
jsonata(template.replaceAll('{{packageName}}', region))
  .evaluate(JSON.parse(require('fs').readFileSync(manifest)))
  .then((result) => console.log(JSON.stringify(result)));
"""


def test_renovate_configuration_finds_and_orders_arns_of_a_manifest(tools):
    config = json.loads(documented("renovate"))
    (manager,) = config["customManagers"]
    (template,) = config["customDatasources"]["nodelayer"]["transformTemplates"]
    sample = ROOT / "docs" / "layers.sample.json"
    modules = tools.npm(*JSONATA)
    regions = {
        "cn-north-1": ["12-16-1-x86_64:1"],  # one layer is not in this region
        "eu-west-1": ["12-16-1-x86_64:4"],  # one layer version is deleted
        "us-east-1": ["12-16-1-x86_64:5", "24-21-0-arm64:2"],
    }
    for region, names in regions.items():
        line = ("node", "-e", TRANSFORM, sample, template, region)
        releases = json.loads(run_checked(*line, cwd=modules))["releases"]
        partition = "aws-cn" if region == "cn-north-1" else "aws"
        prefix = f"arn:{partition}:lambda:{region}:{ACCOUNT}:layer:nodejs-"
        assert [each["version"] for each in releases] == [f"{prefix}{name}" for name in names]
        assert all(each["releaseTimestamp"].startswith("2026-11-24T") for each in releases)
        text = f"Layers: ['{releases[0]['version']}']"
        (pattern,) = (each.replace("(?<", "(?P<") for each in manager["matchStrings"])
        found = re.search(pattern, text)
        assert found.groupdict() == {"currentValue": releases[0]["version"], "depName": region}
        versioning = manager["versioningTemplate"].removeprefix("regex:").replace("(?<", "(?P<")
        parts = re.fullmatch(versioning, releases[0]["version"]).groupdict()
        assert parts["compatibility"] == "x86_64"
        assert [parts[key] for key in ("major", "minor", "patch")] == ["12", "16", "1"]
