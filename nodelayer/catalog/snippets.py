"""The formats of `invoke arn` and of the page: the ARN, JSON, or a function in a tool's syntax."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from nodelayer.errors import InvalidInputError

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_/-]*")
_WORD = re.compile(r"<<(\w+)>>")
_CDK_ARCHITECTURE = {"x86_64": "X86_64", "arm64": "ARM_64"}


@dataclass(frozen=True)
class SnippetValues:
    """The values of a published layer version for a snippet.

    `runtime` is the newest compatible one (`provided.al2023`); `as_json` is what the json format prints.

    Raises:
        InvalidInputError: A value contains a character that needs quoting in some tool's syntax. So a
            manifest from an untrusted source cannot inject a command into a pasted snippet.
    """

    arn: str
    region: str
    node_version: str
    architecture: str
    runtime: str
    as_json: Mapping[str, object]

    def __post_init__(self) -> None:
        _check("layer", self, ("arn", "region", "node_version", "runtime"))

    @property
    def formats(self) -> "Mapping[str, Format]":
        """The formats of a layer."""
        return FORMATS

    @property
    def words(self) -> dict[str, str]:
        """The words of a template that are not in every snippet."""
        return words(self.architecture, self.runtime)


@dataclass(frozen=True)
class RuntimeSnippetValues:
    """The values of a customer-managed runtime for a snippet. `arn` is the runtime's, without a version.

    Raises:
        InvalidInputError: As of SnippetValues.
    """

    arn: str
    alias: str
    region: str
    node_version: str
    architecture: str
    as_json: Mapping[str, object]

    def __post_init__(self) -> None:
        _check("runtime", self, ("arn", "alias", "region", "node_version"))

    @property
    def formats(self) -> "Mapping[str, Format]":
        """The formats of a runtime."""
        return RUNTIME_FORMATS

    @property
    def words(self) -> dict[str, str]:
        """The words of a template that are not in every snippet."""
        return {"alias": self.alias, "cdk_architecture": _CDK_ARCHITECTURE[self.architecture]}


@dataclass(frozen=True)
class Format:
    """A title for people, and a template in which `render` replaces each <<word>>."""

    title: str
    template: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", self.template.strip("\n"))


def render(format: str, of: SnippetValues | RuntimeSnippetValues) -> str:  # noqa: A002 - the flag's own name
    """Render a layer or a runtime in one of its formats, without a newline at the end.

    Raises:
        InvalidInputError: It does not have this format.
    """
    if format not in of.formats:
        raise InvalidInputError(
            f"unknown format {format!r}", where="--format", todo=f"use {', '.join(of.formats)}"
        )
    values = of.words | {
        "arn": of.arn,
        "region": of.region,
        "node_version": of.node_version,
        "architecture": of.architecture,
        "json": json.dumps(dict(of.as_json), indent=2),
    }
    return _WORD.sub(lambda found: values[found[1]], of.formats[format].template)


def render_regions(format: str, layers: Sequence[SnippetValues]) -> str:  # noqa: A002 - the flag's own name
    """Render the ARNs of one layer in all its regions, in one of REGION_FORMATS.

    Raises:
        InvalidInputError: The format is not one of REGION_FORMATS.
    """
    if format == "json":
        return json.dumps({each.region: dict(each.as_json) for each in layers}, indent=2)
    if format not in REGION_FORMATS:
        raise InvalidInputError(
            f"format {format!r} has no form for all regions",
            where="--format",
            todo=f"use {', '.join(['json', *REGION_FORMATS])}, or one region",
        )
    lines = []
    for line in REGION_FORMATS[format].strip("\n").split("\n"):
        for each in layers if "<<region>>" in line else layers[:1]:
            values = {"arn": each.arn, "region": each.region, "node_version": each.node_version}
            values["architecture"] = each.architecture
            lines.append(_WORD.sub(lambda found, values=values: values[found[1]], line))  # type: ignore[misc]
    return "\n".join(lines)


def words(architecture: str, runtime: str) -> dict[str, str]:
    """Return the words of a template that depend on architecture and runtime.

    Raises:
        InvalidInputError: The runtime is not plain text.
    """
    _check_plain("layer's runtime", runtime)
    return {
        "architecture": architecture,
        "runtime": runtime,
        "cdk_architecture": _CDK_ARCHITECTURE[architecture],
        "cdk_runtime": runtime.upper().replace(".", "_"),
    }


def _check(kind: str, values: SnippetValues | RuntimeSnippetValues, names: Sequence[str]) -> None:
    for name in names:
        _check_plain(f"{kind}'s {name}", getattr(values, name))
    if values.architecture not in _CDK_ARCHITECTURE:
        raise InvalidInputError(
            f"unknown architecture {values.architecture!r}", todo=f"a {kind} is for x86_64 or arm64"
        )


def _check_plain(name: str, text: str) -> None:
    if not _PLAIN.fullmatch(text):
        raise InvalidInputError(
            f"the {name} is not plain text: {text!r}",
            todo="do not use this manifest, because the value could contain a command",
        )


# Without SkipBuild, `sam build` requires a Makefile for each function on a provided runtime.
_SAM = """
# Node.js <<node_version>> on <<architecture>>. Deploy it to <<region>>, where the layer is.
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31

Resources:
  Function:
    Type: AWS::Serverless::Function
    Metadata:
      SkipBuild: true
    Properties:
      Runtime: <<runtime>>
      Architectures: [<<architecture>>]
      Handler: function.handler
      CodeUri: function/
      Layers:
        - <<arn>>
"""

_CLOUDFORMATION = """
# Node.js <<node_version>> on <<architecture>>. Deploy it to <<region>>, where the layer is.
AWSTemplateFormatVersion: '2010-09-09'

Parameters:
  CodeBucket:
    Type: String
  CodeKey:
    Type: String

Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: '2012-10-17'
        Statement:
          - Effect: Allow
            Principal:
              Service: lambda.amazonaws.com
            Action: sts:AssumeRole
      ManagedPolicyArns:
        - !Sub arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole

  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: <<runtime>>
      Architectures: [<<architecture>>]
      Handler: function.handler
      Role: !GetAtt Role.Arn
      Code:
        S3Bucket: !Ref CodeBucket
        S3Key: !Ref CodeKey
      Layers:
        - <<arn>>
"""

_CDK = """
// Node.js <<node_version>> on <<architecture>>. Deploy it to <<region>>, where the layer is.
import * as cdk from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

export class FunctionStack extends cdk.Stack {
  constructor(scope: Construct, id: string, props?: cdk.StackProps) {
    super(scope, id, props);

    new lambda.Function(this, 'Function', {
      runtime: lambda.Runtime.<<cdk_runtime>>,
      architecture: lambda.Architecture.<<cdk_architecture>>,
      handler: 'function.handler',
      code: lambda.Code.fromAsset('function'),
      layers: [
        lambda.LayerVersion.fromLayerVersionArn(this, 'NodeJs', '<<arn>>'),
      ],
    });
  }
}
"""

_CDK_PYTHON = """
# Node.js <<node_version>> on <<architecture>>. Deploy it to <<region>>, where the layer is.
from aws_cdk import Stack, aws_lambda as lambda_
from constructs import Construct


class FunctionStack(Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)

        lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.<<cdk_runtime>>,
            architecture=lambda_.Architecture.<<cdk_architecture>>,
            handler="function.handler",
            code=lambda_.Code.from_asset("function"),
            layers=[
                lambda_.LayerVersion.from_layer_version_arn(
                    self,
                    "NodeJs",
                    "<<arn>>",
                ),
            ],
        )
"""

_TERRAFORM = """
# Node.js <<node_version>> on <<architecture>>. Apply it in <<region>>, where the layer is.
variable "role_arn" {
  type        = string
  description = "The role that the function runs as"
}

resource "aws_lambda_function" "function" {
  function_name    = "function"
  runtime          = "<<runtime>>"
  architectures    = ["<<architecture>>"]
  handler          = "function.handler"
  role             = var.role_arn
  filename         = "function.zip"
  source_code_hash = filebase64sha256("function.zip")
  layers           = ["<<arn>>"]
}
"""

_SERVERLESS = """
# Node.js <<node_version>> on <<architecture>>.
service: function

provider:
  name: aws
  region: <<region>>
  runtime: <<runtime>>
  architecture: <<architecture>>

functions:
  function:
    handler: function.handler
    layers:
      - <<arn>>
"""

# No comment in it: zsh does not know comments at its prompt, and would run them.
_CLI = r"""
aws lambda create-function \
  --region <<region>> \
  --function-name function \
  --runtime <<runtime>> \
  --architectures <<architecture>> \
  --handler function.handler \
  --role "${ROLE_ARN:?set it to the role that the function runs as}" \
  --zip-file fileb://function.zip \
  --layers <<arn>>
"""


def _changed(template: str, *changes: tuple[str, str]) -> str:
    """Return the template of a layer with changes, each of which must apply, for a runtime."""
    for old, new in changes:
        if old not in template:
            raise ValueError(old)
        template = template.replace(old, new)
    return template.replace("layer is", "runtime is").replace(
        "Node.js <<node_version>> on", "Node.js <<node_version>> (<<alias>>) on"
    )


_RUNTIME_CLOUDFORMATION = _changed(
    _CLOUDFORMATION,
    (
        "      Runtime: <<runtime>>\n",
        """\
      Runtime: custom
      RuntimeConfig:
        RuntimeArn: <<arn>>
        RuntimeAlias: <<alias>>
""",
    ),
    ("      Layers:\n        - <<arn>>\n", ""),
)

# SAM CLI 1.170.0 refuses RuntimeConfig in AWS::Serverless::Function, but not in AWS::Lambda::Function.
_RUNTIME_SAM = _changed(
    _RUNTIME_CLOUDFORMATION,
    (
        "\nParameters:\n  CodeBucket:\n    Type: String\n  CodeKey:\n    Type: String\n",
        "Transform: AWS::Serverless-2016-10-31\n",
    ),
    ("::Function\n", "::Function\n    Metadata:\n      SkipBuild: true\n"),
    ("Code:\n        S3Bucket: !Ref CodeBucket\n        S3Key: !Ref CodeKey\n", "Code: function/\n"),
)

_RUNTIME_CDK = """
// Node.js <<node_version>> (<<alias>>) on <<architecture>>. Deploy it to <<region>>, where the runtime is.
import * as cdk from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

export class FunctionStack extends cdk.Stack {
  constructor(scope: Construct, id: string, props?: cdk.StackProps) {
    super(scope, id, props);

    const nodeFunction = new lambda.Function(this, 'Function', {
      runtime: new lambda.Runtime('custom'),
      architecture: lambda.Architecture.<<cdk_architecture>>,
      handler: 'function.handler',
      code: lambda.Code.fromAsset('function'),
    });
    (nodeFunction.node.defaultChild as lambda.CfnFunction).addPropertyOverride('RuntimeConfig', {
      RuntimeArn: '<<arn>>',
      RuntimeAlias: '<<alias>>',
    });
  }
}
"""

_RUNTIME_CDK_PYTHON = """
# Node.js <<node_version>> (<<alias>>) on <<architecture>>. Deploy it to <<region>>, where the runtime is.
from aws_cdk import Stack, aws_lambda as lambda_
from constructs import Construct


class FunctionStack(Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)

        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime("custom"),
            architecture=lambda_.Architecture.<<cdk_architecture>>,
            handler="function.handler",
            code=lambda_.Code.from_asset("function"),
        )
        function.node.default_child.add_property_override(
            "RuntimeConfig",
            {
                "RuntimeArn": "<<arn>>",
                "RuntimeAlias": "<<alias>>",
            },
        )
"""

# aws_lambda_function of the aws provider 6.25.0 has no runtime_config.
_RUNTIME_TERRAFORM = """
# Node.js <<node_version>> (<<alias>>) on <<architecture>>. Apply it in <<region>>, where the runtime is.
variable "role_arn" {
  type        = string
  description = "The role that the function runs as"
}

variable "code_bucket" {
  type        = string
  description = "The bucket with the zip of the function's code"
}

variable "code_key" {
  type        = string
  description = "The key of the zip; a new zip needs a new key"
}

resource "aws_cloudformation_stack" "function" {
  name = "function"
  template_body = jsonencode({
    Resources = {
      Function = {
        Type = "AWS::Lambda::Function"
        Properties = {
          Runtime = "custom"
          RuntimeConfig = {
            RuntimeArn   = "<<arn>>"
            RuntimeAlias = "<<alias>>"
          }
          Architectures = ["<<architecture>>"]
          Handler       = "function.handler"
          Role          = var.role_arn
          Code          = { S3Bucket = var.code_bucket, S3Key = var.code_key }
        }
      }
    }
  })
}
"""

# osls 4.3.1 refuses the runtime custom, but lets an extension replace it.
_RUNTIME_SERVERLESS = _changed(
    _SERVERLESS,
    ("<<runtime>>", "provided.al2023"),
    (
        "    layers:\n      - <<arn>>\n",
        """
resources:
  extensions:
    FunctionLambdaFunction:
      Properties:
        Runtime: custom
        RuntimeConfig:
          RuntimeArn: <<arn>>
          RuntimeAlias: <<alias>>
""",
    ),
)

_RUNTIME_CLI = _changed(
    _CLI,
    ("<<runtime>>", "custom"),
    ("--layers <<arn>>", "--runtime-config RuntimeArn=<<arn>>,RuntimeAlias=<<alias>>"),
)

_MAPPINGS = """
# Node.js <<node_version>> on <<architecture>>. In a function:
# Layers: [!FindInMap [NodeLayer, !Ref AWS::Region, Arn]]
Mappings:
  NodeLayer:
    <<region>>: {Arn: '<<arn>>'}
"""

_TERRAFORM_MAP = """
# Node.js <<node_version>> on <<architecture>>. In a function: layers = [local.node_layers["eu-west-1"]]
locals {
  node_layers = {
    "<<region>>" = "<<arn>>"
  }
}
"""

_CDK_MAP = """
// Node.js <<node_version>> on <<architecture>>. In a stack with a region:
// layers: [lambda.LayerVersion.fromLayerVersionArn(this, 'NodeJs', nodeLayers[this.region])]
export const nodeLayers: Record<string, string> = {
  '<<region>>': '<<arn>>',
};
"""

REGION_FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "arn": "<<region>> <<arn>>",
        "sam": _MAPPINGS,
        "cloudformation": _MAPPINGS,
        "cdk": _CDK_MAP,
        "terraform": _TERRAFORM_MAP,
    }
)
"""The templates of `invoke arn --region all`; lines with <<region>> are repeated."""

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "arn": Format("ARN", "<<arn>>"),
        "json": Format("JSON", "<<json>>"),
        "sam": Format("SAM", _SAM),
        "cloudformation": Format("CloudFormation", _CLOUDFORMATION),
        "cdk": Format("CDK", _CDK),
        "cdk-python": Format("CDK (Python)", _CDK_PYTHON),
        "terraform": Format("Terraform", _TERRAFORM),
        "serverless": Format("Serverless", _SERVERLESS),
        "cli": Format("AWS CLI", _CLI),
    }
)
"""The formats of `invoke arn --format` and of the page, in this order. To add one: a template and one line
here, and an example in docs/using.md."""

RUNTIME_FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        name: Format(FORMATS[name].title, template)
        for name, template in {
            "arn": "<<arn>>",
            "json": "<<json>>",
            "sam": _RUNTIME_SAM,
            "cloudformation": _RUNTIME_CLOUDFORMATION,
            "cdk": _RUNTIME_CDK,
            "cdk-python": _RUNTIME_CDK_PYTHON,
            "terraform": _RUNTIME_TERRAFORM,
            "serverless": _RUNTIME_SERVERLESS,
            "cli": _RUNTIME_CLI,
        }.items()
    }
)
"""The formats of `invoke arn --as runtime`."""
