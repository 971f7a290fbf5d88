"""The roles of cloudformation/ allow exactly what the commands do.

The commands run on an emulator behind a proxy that records each call. The templates are deployed by
the emulator's CloudFormation, so the tests compare the policies that IAM receives.
"""

import base64
import dataclasses
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cfnlint.data import AdditionalSpecs
from cfnlint.decode import cfn_yaml
from cfnlint.helpers import load_resource
from publish import emulators, faults
from publish.aws_wire import iam_actions
from publish.conftest import make_layer
from publish.emulators import ACCOUNT
from publish.faults import FaultProxy, Rule
from publish.lambda_core import LambdaCore
from publish.runtime_fixtures import TWO, RuntimeWorkspace, make_image
from support import command

from nodelayer.aws import quotas
from nodelayer.cli.program import NodelayerProgram, installed

pytestmark = [pytest.mark.network, pytest.mark.full]

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "cloudformation" / "github-publisher.yaml"
BUCKET = ROOT / "cloudformation" / "staging-bucket.yaml"
GUIDE = ROOT / "docs" / "publishing.md"
REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")
OTHER = "210987654321"
ORGANIZATION = "o-abcdef1234"
ALL = {
    "Repository": "octo/nodelayer",
    "Provider": "exists",
    "Parameters": "yes",
    "Canary": "yes",
    "Runtimes": "yes",
    "StagingBucket": "created",
    "PruneEnvironment": "prune",
}
READER = {"Repository": "octo/nodelayer", "Provider": "exists", "Publisher": "no", "LayerAccount": ACCOUNT}
LEFT = {"FunctionName": "nodelayer-canary-0123456789ab", "LastModified": "2026-01-02T03:04:05.000+0000"}
PUBLISH = ("publisher", ("publish",))
PARAMETERS = ("publisher", ("publish", "parameters"))
DEPLOYED = ("publisher", ("publish", "staging"))
CREATED = ("publisher", ("publish", "staging", "buckets"))
CANARY = ("publisher", ("publish", "canary"))
VERIFY = ("verifier", ("read", "plan"))
VERIFY_PARAMETERS = ("verifier", ("read", "plan", "parameters"))
PLAN_PRUNE = ("verifier", ("read", "plan", "parameters", "canary"))
PRUNE = ("pruner", ("prune", "parameters", "canary"))
WITHDRAW = ("pruner", ("prune",))
READ = ("reader", ("read",))
RUNTIMES = ("publisher", ("publish", "runtimes"))
PLAN_RUNTIMES = ("verifier", ("plan", "runtimes"))
PRUNE_RUNTIMES = ("pruner", ("runtimes",))


def template(path):
    return cfn_yaml.load(str(path))


def deploy(endpoint, path, region=emulators.REGION, account=ACCOUNT, **parameters):
    client = endpoint.client("cloudformation", region, account)
    client.create_stack(
        StackName="nodelayer",
        TemplateBody=path.read_text(encoding="utf-8"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )
    waiter = client.get_waiter("stack_create_complete")
    waiter.wait(StackName="nodelayer", WaiterConfig={"Delay": 0.2, "MaxAttempts": 50})


def policies(endpoint, account=ACCOUNT):
    """Return the statements of every role, by role and policy."""
    iam = endpoint.client("iam", account=account)
    return {
        (role["RoleName"].removeprefix("nodelayer-"), name): iam.get_role_policy(
            RoleName=role["RoleName"], PolicyName=name
        )["PolicyDocument"]["Statement"]
        for role in iam.list_roles()["Roles"]
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    }


ROLE = f"arn:aws:iam::{ACCOUNT}:role/nodelayer-canary"
CALL_PASSES = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
"""The only condition of the roles: nodelayer passes a role to Lambda only."""


def listed(value):
    return value if isinstance(value, list) else [value]


def actions(statements):
    return {action for statement in statements for action in listed(statement["Action"])}


def matches(pattern, arn):
    parts = re.split(r"([*?])", pattern)
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(part) or re.escape(part) for part in parts), arn) is not None


def allows(statements, action, arn):
    return any(
        action in listed(statement["Action"])
        and any(matches(pattern, arn) for pattern in listed(statement["Resource"]))
        for statement in statements
        if statement["Effect"] == "Allow" and statement.get("Condition", CALL_PASSES) == CALL_PASSES
    )


def arns(call):
    """Return the ARNs of a call; ARNs of S3 have no region and no account."""
    within = {"s3": ":", "account": f":{call.account}"}.get(call.service, f"{call.region}:{call.account}")
    service = call.service.removesuffix("-core")
    return [
        each if each.startswith("arn:") else f"arn:aws:{service}:{within}:{each}"
        for each in call.resources or ["*"]
    ]


def used_actions(run):
    """Return (account, action, ARN) of each call of a run."""
    return {
        (call.account, action, arn)
        for call in run.calls
        for action in iam_actions(call.service, call.operation)
        for arn in ([ROLE] if action == "iam:PassRole" else arns(call))
    }


@dataclass(frozen=True)
class Run:
    """One executed command: its name, the role and policies it needs, and its calls."""

    name: str
    role: tuple[str, tuple[str, ...]]
    calls: tuple[faults.Call, ...]


class CommandRunner:
    """Run commands in a folder and record their calls."""

    def __init__(self, proxy, folder):
        self.proxy = proxy
        self.folder = folder
        self.runs = []
        self.credentials = folder / "credentials"
        keys = f"aws_access_key_id = {OTHER}\naws_secret_access_key = secret\n"
        self.credentials.write_text(f"[other]\n{keys}", encoding="utf-8")

    def layer(self, name, size=4096, seed=0):
        return make_layer(self.folder / name, f"nodejs-{name}-x86_64", size, seed)

    def run(self, name, role, words, *, regions=REGIONS, code=0):
        before = len(self.proxy.calls)
        environ = self.proxy.environ(AWS_SHARED_CREDENTIALS_FILE=self.credentials)
        where = [f"--manifest={self.folder / 'layers.json'}", f"--regions={','.join(regions)}"]
        done = invoke([*words, *where], environ)
        assert done.returncode == code, f"{name}: {done.stderr}"
        self.runs.append(Run(name, role, tuple(self.proxy.calls[before:])))


def invoke(words, environ):
    return subprocess.run(
        command(*words), env=environ, capture_output=True, text=True, check=False, timeout=120
    )


def run_all(runner):
    """Run publish, backfill, verify and prune with every option."""
    proxy = runner.proxy
    small = runner.layer("12.16.1").zip
    first = ["publish", "--node=12.16.1", f"--out={small.parent}"]
    runner.run("publish --dry-run, nothing published", VERIFY, [*first, "--dry-run"])
    runner.run("publish", PUBLISH, first)
    runner.run("publish --public", PUBLISH, [*first, "--public"])
    runner.run("publish --organization-id", PUBLISH, [*first, f"--organization-id={ORGANIZATION}"])
    runner.run("publish --ssm", PARAMETERS, [*first, "--ssm"])
    proxy.client("lambda", REGIONS[0]).publish_layer_version(
        LayerName="nodejs-12-16-1-x86_64", Content={"ZipFile": small.read_bytes()}
    )
    runner.run("publish, a duplicate exists", PUBLISH, first)
    assert "DeleteLayerVersion" in {call.operation for call in runner.runs[-1].calls}

    answer = {"node": "v13.0.0", "architecture": "x64", "event": {"hello": "world"}}
    proxy.rule(Rule(faults.answer(answer), operation="Invoke", times=2))
    out = f"--out={runner.layer('13.0.0', seed=4).zip.parent}"
    words = ["publish", "--node=13", out, f"--canary={REGIONS[0]}", "--canary-starts=2"]
    runner.run("publish --canary", CANARY, words, regions=REGIONS[:1], code=8)  # no answer over HTTP
    proxy.clear()

    aligned = runner.layer("14.0.0", seed=1)
    proxy.client("lambda", REGIONS[0]).publish_layer_version(
        LayerName=aligned.record.layer_name, Content={"ZipFile": small.read_bytes()}
    )
    runner.run("publish --align", PUBLISH, ["publish", "--node=14", f"--out={aligned.zip.parent}", "--align"])

    big = runner.layer("16.0.0", quotas.DIRECT_UPLOAD + 1, seed=2).zip.parent
    large = ["publish", "--node=16", f"--out={big}"]
    cut = Rule(faults.access_denied, operation="UploadPart", times=1)
    proxy.rule(cut)
    runner.run(
        "publish, a bucket created, the upload interrupted", CREATED, large, regions=REGIONS[:1], code=9
    )
    proxy.clear()
    runner.run("publish, the bucket exists", DEPLOYED, large, regions=REGIONS[:1])
    deploy(proxy, BUCKET, REGIONS[1])
    # MiniStack's CloudFormation does not set the lifecycle rules.
    proxy.client("s3", REGIONS[1]).put_bucket_lifecycle_configuration(
        Bucket=f"nodelayer-{ACCOUNT}-{REGIONS[1]}",
        LifecycleConfiguration={
            "Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
        },
    )
    runner.run("publish, the bucket is deployed", DEPLOYED, large, regions=REGIONS[1:2])

    nowhere = f"--out={runner.folder / 'nowhere'}"
    fill = ["backfill", "--node=12.16.1", nowhere]
    new = ("ap-south-1", *REGIONS)
    runner.run("backfill --dry-run", VERIFY, [*fill, "--dry-run"], regions=new)
    runner.run("backfill", PUBLISH, fill, regions=new)
    runner.run("backfill --ssm", PARAMETERS, [*fill, "--ssm"], regions=("ca-central-1",))
    read = "--reader-profile=other"
    runner.run("publish --dry-run, everything published", VERIFY, [*first, "--dry-run"])
    runner.run("verify, parameters differ", VERIFY_PARAMETERS, ["verify"], regions=["all"], code=5)
    runner.run("verify --fix", PARAMETERS, ["verify", "--fix", nowhere], regions=["all"])
    runner.run("verify --reader-profile", VERIFY_PARAMETERS, ["verify", read], regions=["all"])
    runner.layer("12.16.1", seed=3)
    runner.run("publish, newer content", PUBLISH, first)
    runner.run("prune --dry-run", PLAN_PRUNE, ["prune", "--keep=1", "--dry-run"], regions=["all"])
    proxy.rule(Rule(faults.answer({"Functions": [LEFT]}), operation="ListFunctions", region=REGIONS[0]))
    runner.run("prune", PRUNE, ["prune", "--keep=1", "--yes"], regions=["all"])
    public = proxy.client("lambda", REGIONS[0]).list_layer_versions(LayerName="nodejs-12-16-1-x86_64")
    arn = public["LayerVersions"][-1]["LayerVersionArn"]
    runner.run("withdraw", WITHDRAW, ["withdraw", f"--arn={arn}", "--reason=bad", "--yes"], regions=REGIONS)
    return runner.runs


def with_resource(call):
    """Return a call of the stand-in server with its resource. AWS documents no other ARNs of runtimes."""
    given = call.members
    resources = (given["ResourceArn"],) if "ResourceArn" in given else ()
    if call.service == "account":
        resources = ("account",)
    if call.service == "lambda-core":
        kind = re.search("Version$|Alias$", call.operation)
        part = f"/{kind[0].lower()}/{given['Name']}" if kind else ""
        resources = (f"runtime/{given.get('RuntimeName') or given['Name']}{part}",)
    return faults.Call(
        call.region,
        call.service,
        call.operation,
        call.status,
        call.account,
        call.when,
        0,
        resources=resources,
    )


def run_runtimes(workspace):
    """Run the commands of customer-managed runtimes; Lambda is the stand-in server, and ECR is MiniStack."""
    core, proxy = workspace.core, workspace.ecr
    runs = []

    def run(role, *words, lost=None):
        core.clear()
        proxy.clear()
        if lost:
            core.fail(lost, error="lost answer")
        program = NodelayerProgram(name="invoke", namespace=installed())
        where = [f"--manifest={workspace.path}"] if words[0] != "rollback-runtime" else []
        program.run(["invoke", *words, *where, f"--regions={','.join(TWO)}"])  # exits if it fails
        runs.append(Run(" ".join(words), role, (*proxy.calls, *map(with_resource, core.calls))))

    def publish(node, nodelayer, role=RUNTIMES, *more):
        make_image(workspace.dist, node, nodelayer)
        run(role, "publish-runtime", f"--node={node}", f"--out={workspace.dist}", *more)

    publish("12.16.1", "0.0.1", PLAN_RUNTIMES, "--dry-run")
    publish("12.16.1", "0.0.1", RUNTIMES)
    mutable = {"repositoryName": "nodelayer/nodejs-12", "imageTagMutability": "MUTABLE"}
    workspace.client(TWO[0]).put_image_tag_mutability(**mutable)
    workspace.lambda_(TWO[0]).update_runtime(RuntimeName="nodejs-12", Description="ours")
    publish("12.16.1", "0.0.2", RUNTIMES, f"--organization-id={ORGANIZATION}")
    publish("12.22.12", "0.0.2")
    publish("24.1.0", "0.0.2")  # it has the base image of nodejs-12
    publish("12.22.12", "0.0.2", PLAN_RUNTIMES, "--dry-run")
    run(RUNTIMES, "rollback-runtime", "--runtime=nodejs-12")
    run(PLAN_RUNTIMES, "verify-runtimes")
    run(PLAN_RUNTIMES, "prune-runtimes", "--keep=1", "--dry-run")
    run(PRUNE_RUNTIMES, "prune-runtimes", "--keep=1", "--yes", lost="DeleteRuntimeVersion")
    run(PRUNE_RUNTIMES, "restore-runtime", "--runtime=nodejs-12", "--version=12.16.1_0.0.1")
    return runs


@pytest.fixture(scope="module")
def runs(ministack, runtime_runs, tmp_path_factory):
    ministack.reset()
    with FaultProxy(ministack.endpoint) as proxy:
        return run_all(CommandRunner(proxy, tmp_path_factory.mktemp("rights"))) + runtime_runs


@pytest.fixture(scope="module")
def runtime_runs(ministack, tmp_path_factory):
    ministack.reset()
    with FaultProxy(ministack.endpoint) as proxy, LambdaCore() as core, pytest.MonkeyPatch.context() as patch:
        core.settings.regions = dict.fromkeys(TWO, "ENABLED")
        workspace = RuntimeWorkspace(tmp_path_factory.mktemp("runtimes"), core, proxy)
        for name, value in workspace.environ().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        return run_runtimes(workspace)


@pytest.fixture(scope="module")
def granted(ministack):
    ministack.reset()
    deploy(ministack, ROLES, **ALL)
    deploy(ministack, ROLES, account=OTHER, **READER)
    found = policies(ministack)
    found[READ[0], "read"] = policies(ministack, OTHER)["verifier", "read"]
    return found


def statements(granted, role):
    name, parts = role
    return [statement for part in parts for statement in granted[name, part]]


@pytest.mark.full
def test_each_role_allows_every_call_of_its_commands(runs, granted):
    lacking = [
        (run.name, action, arn)
        for run in runs
        for account, action, arn in sorted(used_actions(run))
        if not allows(statements(granted, run.role if account == ACCOUNT else READ), action, arn)
    ]
    assert lacking == []


@pytest.mark.parametrize("role", ["publisher", "verifier", "pruner", "reader"])
def test_each_role_allows_only_actions_that_its_commands_use(runs, granted, role):
    used = {
        (each[0], action)
        for run in runs
        for account, action, _ in used_actions(run)
        for each in [run.role if account == ACCOUNT else READ]
    }
    spare = {
        action
        for (name, _), found in granted.items()
        if name == role
        for action in actions(found)
        if (role, action) not in used
    }
    assert spare == set()


def test_each_policy_of_the_publisher_is_needed_for_its_parameter(runs, granted):
    for part, name in (
        ("parameters", "publish --ssm"),
        ("staging", "publish, the bucket is deployed"),
        ("buckets", "publish, a bucket created, the upload interrupted"),
    ):
        found = statements(granted, ("publisher", [part]))
        (run,) = [run for run in runs if run.name == name]
        assert actions(found) & {action for _, action, _ in used_actions(run)}, part


def test_dry_runs_and_verify_only_read(runs):
    reading = [run for run in runs if run.role[0] == "verifier"]
    assert len(reading) >= 6
    operations = {call.operation for run in reading for call in run.calls}
    assert {each for each in operations if not re.match("(Get|List|Head|Describe)", each)} == set()


def test_publish_uses_the_deployed_bucket_and_creates_none(runs):
    (run,) = [run for run in runs if run.name == "publish, the bucket is deployed"]
    seen = [(call.operation, call.resources) for call in run.calls if call.service == "s3"]
    assert seen[0] == ("GetBucketLifecycleConfiguration", (f"nodelayer-{ACCOUNT}-{REGIONS[1]}",))
    assert "CreateBucket" not in {operation for operation, _ in seen}


def test_only_actions_without_resource_level_permissions_allow_all_resources(granted):
    reference = load_resource(AdditionalSpecs, "Policies.json")
    everywhere = {
        action
        for found in granted.values()
        for statement in found
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert everywhere == {
        "ecr:GetAuthorizationToken",
        "lambda:GetAccountSettings",
        "lambda:ListFunctions",
        "lambda:ListLayerVersions",
    }
    for action in everywhere:
        service, name = action.split(":")
        assert not reference[service]["Actions"][name.lower()].get("Resources")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {("publisher", "publish")}),
        (
            {"Parameters": "yes"},
            {("publisher", "publish"), ("publisher", "parameters"), ("verifier", "parameters")},
        ),
        (
            {"Canary": "yes"},
            {("publisher", "publish"), ("publisher", "canary"), ("verifier", "canary")},
        ),
        (
            {"Runtimes": "yes"},
            {("publisher", "publish"), ("publisher", "runtimes"), ("verifier", "runtimes")},
        ),
        ({"StagingBucket": "deployed"}, {("publisher", "publish"), ("publisher", "staging")}),
        ({"PruneEnvironment": "prune"}, {("publisher", "publish"), ("pruner", "prune")}),
        ({"Publisher": "no"}, set()),
    ],
)
def test_only_permissions_that_a_parameter_requests_are_granted(ministack, parameters, expected):
    ministack.reset()
    deploy(ministack, ROLES, Repository="octo/nodelayer", Provider="exists", **parameters)
    assert set(policies(ministack)) == {*expected, ("verifier", "read"), ("verifier", "plan")}


def test_no_arn_contains_a_fixed_partition():
    """The emulators' CloudFormation has only one partition, in every region."""
    for path in (ROLES, BUCKET):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\barn:(\$\{[^}]*\}|[^:]*):", text)) <= {"${AWS::Partition}"}, path


def test_oidc_provider_and_roles_have_the_same_audience():
    """The emulators' CloudFormation cannot create an OIDC provider."""
    whole = template(ROLES)
    assert whole["Conditions"]["InChina"] == {"Fn::Equals": [{"Ref": "AWS::Partition"}, "aws-cn"]}
    found = whole["Resources"]
    (audience,) = found["GitHub"]["Properties"]["ClientIdList"]
    assert audience == {"Fn::If": ["InChina", "sts.amazonaws.com.cn", "sts.amazonaws.com"]}
    for role in ("PublisherRole", "VerifierRole", "PrunerRole"):
        (trust,) = found[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:aud"] == audience


@pytest.mark.parametrize(
    ("parameter", "accepted", "rejected"),
    [
        ("Repository", ["octo/node.layer", "octo@1/nodelayer@2"], ["octo", "*/x", "octo/*", "a/b:ref"]),
        ("Tag", ["v*", "v1.2.3"], ["*", "**", "", "v?", "v 1"]),
        ("Environment", ["", "release"], ["*", "rel*", "a:b"]),
        ("WatchEnvironment", ["", "watch"], ["*", "a:ref:b"]),
        ("PruneEnvironment", ["", "prune"], ["*", "a:ref:b"]),
        ("VerifyRef", ["refs/heads/main"], ["refs/*", "*", "main"]),
        ("LayerAccount", ["", "123456789012"], ["*", "12345678901"]),
    ],
)
def test_parameters_reject_wildcards_that_widen_the_trust(parameter, accepted, rejected):
    pattern = template(ROLES)["Parameters"][parameter]["AllowedPattern"]
    assert [each for each in accepted if not re.fullmatch(pattern, each)] == []
    assert [each for each in rejected if re.fullmatch(pattern, each)] == []


@pytest.fixture(scope="module")
def strict(cache_folder):
    """A MiniStack that checks each call with IAM."""
    variables = {"AUTH": "true", "AWS_SECRET_ACCESS_KEY": "secret"}
    program = dataclasses.replace(
        emulators.MINISTACK, variables={**emulators.MINISTACK.variables, **variables}
    )
    with emulators.running(program, cache_folder) as running:
        yield running


def token(subject, audience="sts.amazonaws.com", issuer="https://token.actions.githubusercontent.com"):
    """Return a token like GitHub's, without a valid signature."""
    claims = {"iss": issuer, "aud": audience, "sub": subject}
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()) for each in ({"alg": "RS256"}, claims)]
    return ".".join([*(part.rstrip(b"=").decode() for part in parts), "c2lnbmF0dXJl"])


def assume(endpoint, role, web_identity):
    answer = endpoint.client("sts").assume_role_with_web_identity(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/nodelayer-{role}",
        RoleSessionName="test",
        WebIdentityToken=web_identity,
    )
    return answer["Credentials"]


@pytest.mark.parametrize(
    ("parameters", "role", "subject", "accepted"),
    [
        ({}, "publisher", "repo:octo/nodelayer:ref:refs/tags/v1.2.3", True),
        ({}, "publisher", "repo:octo/nodelayer:ref:refs/tags/1.2.3", False),
        ({}, "publisher", "repo:octo/nodelayer:ref:refs/heads/v1", False),
        ({}, "publisher", "repo:octo/nodelayer:pull_request", False),
        ({}, "publisher", "repo:octo/nodelayer:environment:release", False),
        ({}, "publisher", "repo:octo/nodelayer2:ref:refs/tags/v1.2.3", False),
        ({}, "publisher", "repo:evil/nodelayer:ref:refs/tags/v1.2.3", False),
        ({"Environment": "release"}, "publisher", "repo:octo/nodelayer:environment:release", True),
        ({"Environment": "release"}, "publisher", "repo:octo/nodelayer:ref:refs/tags/v1.2.3", False),
        ({"Environment": "release"}, "publisher", "repo:octo/nodelayer:environment:watch", False),
        ({"WatchEnvironment": "watch"}, "publisher", "repo:octo/nodelayer:environment:watch", True),
        ({"WatchEnvironment": "watch"}, "publisher", "repo:octo/nodelayer:ref:refs/tags/v1.2.3", True),
        ({"WatchEnvironment": "watch"}, "publisher", "repo:evil/nodelayer:environment:watch", False),
        ({}, "verifier", "repo:octo/nodelayer:ref:refs/heads/main", True),
        ({}, "verifier", "repo:octo/nodelayer:ref:refs/tags/v1.2.3", True),
        ({}, "verifier", "repo:octo/nodelayer:ref:refs/heads/other", False),
        ({}, "verifier", "repo:octo/nodelayer:pull_request", False),
        ({}, "pruner", "repo:octo/nodelayer:environment:prune", True),
        ({}, "pruner", "repo:octo/nodelayer:ref:refs/tags/v1.2.3", False),
        (
            {"Repository": "octo@1/nodelayer@2", "Environment": "release"},
            "publisher",
            "repo:octo@1/nodelayer@2:environment:release",
            True,
        ),
        (
            {"Repository": "octo@1/nodelayer@2"},
            "publisher",
            "repo:octo@1/nodelayer@2:ref:refs/tags/v1.2.3",
            True,
        ),
    ],
)
def test_role_trusts_only_its_repository_and_tag_or_environment(strict, parameters, role, subject, accepted):
    strict.reset()
    deploy(strict, ROLES, **ALL | parameters)
    if accepted:
        assert assume(strict, role, token(subject))["AccessKeyId"]
    else:
        with pytest.raises(ClientError, match="AccessDenied"):
            assume(strict, role, token(subject))


@pytest.mark.parametrize("role", ["publisher", "verifier", "pruner"])
@pytest.mark.parametrize(
    "more", [{"audience": "https://github.com/octo"}, {"issuer": "https://gitlab.com"}], ids=str
)
def test_role_trusts_only_tokens_of_github_for_aws(strict, role, more):
    strict.reset()
    deploy(strict, ROLES, **ALL | {"Environment": "prune"})
    subject = "repo:octo/nodelayer:environment:prune"
    assert assume(strict, role, token(subject))
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(strict, role, token(subject, **more))


@pytest.mark.full
@pytest.mark.parametrize("missing", ["", "s3:PutObject", "ssm:PutParameter"])
def test_deployed_role_uploads_and_writes_parameters_with_iam_enforced(strict, tmp_path, layer_zip, missing):
    """MiniStack checks actions of S3 and most of SSM, but only two of Lambda layers."""
    strict.reset()
    deploy(strict, ROLES, **ALL)
    strict.client("s3", REGIONS[1]).create_bucket(
        Bucket=f"nodelayer-{ACCOUNT}-{REGIONS[1]}",
        CreateBucketConfiguration={"LocationConstraint": REGIONS[1]},
    )
    for (role, name), found in policies(strict).items():
        if role == "publisher":
            grant(strict, name, without(found, missing))
    unknown = {"Effect": "Allow", "Action": ["lambda:ListLayers", "ssm:GetParameters"], "Resource": "*"}
    grant(strict, "ministack", [unknown])
    layer_zip(tmp_path, size=quotas.DIRECT_UPLOAD + 1)
    environ = as_role(strict, assume(strict, "publisher", token("repo:octo/nodelayer:ref:refs/tags/v1.2.3")))
    done = published(tmp_path, environ, "--ssm")
    assert done.returncode == (9 if missing else 0), done.stderr
    if missing:
        assert f"{REGIONS[1]}: not allowed: {missing} [{REGIONS[1]}" in done.stderr


def test_the_deployed_bucket_rejects_unencrypted_connections(strict):
    """The emulator uses plain HTTP; without the bucket policy it accepts the object."""
    strict.reset()
    deploy(strict, ROLES, **ALL)
    deploy(strict, BUCKET, REGIONS[1])
    keys = assume(strict, "publisher", token("repo:octo/nodelayer:ref:refs/tags/v1.2.3"))
    client = boto3.client(
        "s3",
        region_name=REGIONS[1],
        endpoint_url=strict.endpoint,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=Config(proxies={}),
    )
    item = {"Bucket": f"nodelayer-{ACCOUNT}-{REGIONS[1]}", "Key": "x", "Body": b""}
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(**item)
    strict.client("s3", REGIONS[1]).delete_bucket_policy(Bucket=item["Bucket"])
    client.put_object(**item)


def grant(endpoint, name, found):
    document = json.dumps({"Version": "2012-10-17", "Statement": found})
    iam = endpoint.client("iam")
    iam.put_role_policy(RoleName="nodelayer-publisher", PolicyName=name, PolicyDocument=document)


def without(found, missing):
    kept = [each | {"Action": [a for a in listed(each["Action"]) if a != missing]} for each in found]
    return [each for each in kept if each["Action"]]


def as_role(endpoint, keys):
    return endpoint.environ(
        keys["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"],
        AWS_SESSION_TOKEN=keys["SessionToken"],
    )


def published(folder, environ, *more):
    words = ["publish", "--node=12.16.1", f"--out={folder}", f"--manifest={folder / 'layers.json'}"]
    return invoke([*words, f"--regions={REGIONS[1]}", *more], environ)


@pytest.fixture
def deny(proxy):
    """Refuse the calls that need an action, because the emulators' IAM does not know all of them."""

    def without_action(action):
        for service, operation in OPERATIONS:
            if action in iam_actions(service, operation):
                proxy.rule(Rule(faults.access_denied, service=service, operation=operation))

    return without_action


OPERATIONS = [
    ("account", "ListRegions"),
    ("lambda", "AddLayerVersionPermission"),
    ("lambda", "GetAccountSettings"),
    ("lambda", "GetLayerVersion"),
    ("lambda", "GetLayerVersionPolicy"),
    ("lambda", "ListLayerVersions"),
    ("lambda", "PublishLayerVersion"),
    ("ssm", "GetParameters"),
    ("ssm", "PutParameter"),
]


@pytest.mark.parametrize(
    "missing",
    [
        "lambda:AddLayerVersionPermission",
        "lambda:GetLayerVersion",
        "lambda:GetLayerVersionPolicy",
        "lambda:ListLayerVersions",
        "lambda:PublishLayerVersion",
        "ssm:GetParameters",
        "ssm:PutParameter",
    ],
)
def test_a_missing_permission_is_one_line_that_names_the_action(proxy, deny, tmp_path, layer_zip, missing):
    layer_zip(tmp_path)
    deny(missing)
    done = published(tmp_path, proxy.environ(), "--public", "--ssm")
    assert done.returncode == 9, done.stderr
    (line,) = {each for each in done.stderr.splitlines() if "not allowed" in each}
    assert line.startswith(f"{REGIONS[1]}: not allowed: {missing} [{REGIONS[1]}")
    assert line.endswith("]: allow this action in the role's policy (docs/publishing.md)")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["account:ListRegions", "lambda:GetAccountSettings"])
def test_publish_works_without_optional_permissions(proxy, deny, tmp_path, layer_zip, missing):
    layer_zip(tmp_path)
    deny(missing)
    done = published(tmp_path, proxy.environ())
    assert done.returncode == 0, done.stderr


def test_deployed_bucket_has_the_settings_of_the_created_bucket():
    bucket = template(BUCKET)["Resources"]["Staging"]["Properties"]
    assert bucket["BucketName"] == {"Fn::Sub": "nodelayer-${AWS::AccountId}-${AWS::Region}"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 1)
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert "VersioningConfiguration" not in bucket


def test_guide_lists_every_action_and_its_roles(granted):
    rows = re.findall(r"^\| `(\w+:\w+)` \| ([a-z, ]+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {action: set(names.split(", ")) for action, names in rows}
    parts = ("parameters", "canary", "runtimes", "staging", "buckets")
    names = {("publisher", part): part for part in parts}
    expected = {}
    for key, found in granted.items():
        for action in actions(found):
            expected.setdefault(action, set()).add(names.get(key, key[0]))
    assert documented == expected
