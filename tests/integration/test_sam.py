"""The SAM application: built, invoked in a container, and deployed to an emulator of AWS.

The functions run in a Debian 12 image (tests/images/standin-lambda.sh), so these tests do not cover
Amazon Linux. One build and one deployment serve all tests.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import boto3
import docker
import pytest
import requests
from publish import emulators
from publish.emulators import ACCOUNT
from support import ROOT
from tools import Tools

from nodelayer.aws.account import Account
from nodelayer.aws.regions import Partition
from nodelayer.emulation import rie as emulator
from nodelayer.manifest.lookup import arn_for
from nodelayer.sam.stack import DESCRIPTION
from nodelayer.util.cache import DownloadCache

pytestmark = [pytest.mark.network, pytest.mark.full]

SAM_CLI = ("aws-sam-cli==1.170.0", "cfn-lint==1.58.0")
IMAGE = "public.ecr.aws/lambda/provided:al2023-x86_64"
OLD, NEW = "12.16.1", "24.21.0"
FIRST_REGION, SECOND_REGION = "eu-west-1", "us-east-1"
TEMPLATES = [
    ROOT / "template.yaml",
    *sorted(ROOT.glob("examples/*/*.yaml")),
]
SAMPLE = ROOT / "function" / "events"
EXAMPLES = ROOT / "examples"
OTHER_ACCOUNT = "210987654321"


@pytest.fixture(scope="session")
def tools(cache_folder):
    return Tools(DownloadCache(cache_folder))


@pytest.fixture(scope="session")
def path(tools):
    """Return a PATH with `sam`."""
    return f"{tools.pip(*SAM_CLI) / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def image():
    """The Debian image in place of AWS's image; images that SAM builds from it are deleted afterwards."""
    with closing(docker.from_env()) as engine:
        if not engine.images.list(IMAGE):
            pytest.skip("no stand-in Lambda image: run tests/images/standin-lambda.sh")
        before = {each.id for each in engine.images.list("samcli/lambda-provided")}
        yield IMAGE
        for each in engine.images.list("samcli/lambda-provided"):
            if each.id not in before:
                engine.images.remove(each.id, force=True)


@dataclass(frozen=True)
class Sam:
    """The SAM CLI, without credentials or with those of an emulator."""

    path: str
    endpoint: emulators.Endpoint

    @property
    def variables(self):
        return self.endpoint.environ(PATH=self.path, AWS_DEFAULT_REGION=FIRST_REGION, SAM_CLI_TELEMETRY=0)

    def __call__(self, *line, cwd, event=None):
        done = subprocess.run(
            ["sam", *map(str, line)],
            cwd=cwd,
            env=self.variables,
            input=event,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def answer(self, function, event, *flags, cwd):
        """Return the response that `sam local invoke` prints."""
        line = ("local", "invoke", function, "--event=-", "--skip-pull-image", *flags)
        printed = self(*line, cwd=cwd, event=json.dumps(event))
        return json.loads(printed.splitlines()[-1])  # earlier lines list the downloaded layers


@pytest.fixture(scope="session")
def offline(path):
    return Sam(path, emulators.Endpoint("http://127.0.0.1:9"))


# templates


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: str(each.relative_to(ROOT)))
def test_each_template_is_valid(offline, tmp_path, template):
    output = offline("validate", "--lint", f"--template={template}", cwd=tmp_path)
    assert "is a valid SAM Template" in output


# local builds and invocations


@pytest.fixture(scope="session")
def built(invoke, layer, path, tmp_path_factory):
    """Return a function that runs `invoke sam-build` once for each version."""
    made = {}

    def build(version):
        if version not in made:
            folder = tmp_path_factory.mktemp("sam") / "build"
            out = layer(version).zip.parent
            flags = (f"--node={version}", f"--out={out}", f"--build-dir={folder}")
            done = invoke("sam-build", *flags, PATH=path)
            assert done.code == 0, done.err
            assert "Run it: sam local invoke Function --template " in done.err
            made[version] = folder
        return made[version]

    return build


@pytest.mark.docker
@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.usefixtures("image")
def test_sam_local_invoke_runs_the_function_on_the_built_layer(offline, built, version):
    folder = built(version)
    answer = offline.answer("Function", {"hello": "world"}, *template(folder), cwd=folder.parent)
    assert (answer["node"], answer["event"]) == (f"v{version}", {"hello": "world"})


def template(folder):
    return (f"--template={folder / 'template.yaml'}",)


@pytest.mark.docker
@pytest.mark.usefixtures("image")
def test_sam_local_start_api_serves_the_function(offline, built):
    folder = built(OLD)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line = ["sam", "local", "start-api", "--skip-pull-image", f"--port={port}", *template(folder)]
    api = subprocess.Popen(line, cwd=folder.parent, env=offline.variables, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        answer = requests.get(f"http://127.0.0.1:{port}/a/b?name=world", timeout=60)
    finally:
        api.terminate()
        api.wait(timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    result = answer.json()
    assert (result["node"], result["event"]["rawPath"]) == (f"v{OLD}", "/a/b")
    assert result["event"]["queryStringParameters"] == {"name": "world"}


def wait_for_port(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"port {port} is still closed after {seconds} s")


def test_sam_build_works_in_a_folder_with_spaces(layer, path, tmp_path):
    """The checkout and dist are in a folder with spaces, and nodelayer is imported from it."""
    copy = tmp_path / "my proj (1) é"
    for name in ("nodelayer", "runtime", "docker", "function"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tasks.py", "pyproject.toml", "template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(layer(OLD).zip.parent, copy / "dist")
    line = [sys.executable, "-m", "invoke", "sam-build", f"--node={OLD}"]
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(copy)}
    done = subprocess.run(line, cwd=copy, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = copy / ".aws-sam" / "build"
    names = {each.name for each in (built / "Function").iterdir()}
    assert names == {"function.js", "package-lock.json", "package.json", "streaming.js"}
    assert f"nodejs-{OLD}-x86_64.zip" in (built / "template.yaml").read_text()


@pytest.mark.parametrize("package", [True, False])
def test_makefile_copies_the_whole_function_without_a_lock_file(tmp_path, package):
    source, artifacts = tmp_path / "my function", tmp_path / "my artifacts"
    artifacts.mkdir()
    for name in ("app.js", "lib/tests/a.mjs", "data.json", ".env", ".npmrc", "tests/b.js", "events/c.json"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("")
    if package:
        (source / "package.json").write_text('{"dependencies": {"left": "file:lib"}}')
        (source / "lib" / "package.json").write_text('{"name": "left", "version": "1.0.0"}')
    shutil.copy(ROOT / "function" / "Makefile", source)
    subprocess.run(
        ["make", "--silent", "--makefile", source / "Makefile", "build-Function"],
        cwd=source,
        env={**os.environ, "ARTIFACTS_DIR": str(artifacts)},
        check=True,
    )
    expected = {"app.js", "data.json", "lib"}
    expected |= {"node_modules", "package.json", "package-lock.json"} if package else set()
    assert {each.name for each in artifacts.iterdir()} == expected
    assert (artifacts / "lib" / "tests" / "a.mjs").exists()
    assert (artifacts / "node_modules" / "left").exists() == package


def test_sam_build_without_a_built_layer_fails(invoke, path, tmp_path):
    done = invoke("sam-build", f"--out={tmp_path}", PATH=path)
    assert (done.code, len(done.lines)) == (3, 1)
    assert "invoke build-layer" in done.err


def test_typescript_example_builds_one_file_for_the_oldest_node(offline, layer, rie, tmp_path):
    folder = tmp_path / "typescript"
    shutil.copytree(
        EXAMPLES / "typescript", folder, ignore=shutil.ignore_patterns("node_modules", ".aws-sam")
    )
    offline("build", cwd=folder)
    function = folder / ".aws-sam" / "build" / "Function"
    assert sorted(each.name for each in function.iterdir()) == ["app.js", "app.js.map"]
    http = json.loads((SAMPLE / "http.json").read_bytes())
    for version in (OLD, NEW):
        opt = layer(version).unpacked(tmp_path / version)
        sandbox = emulator.Sandbox(opt, function, "app.handler", 10)
        with emulator.running(sandbox, rie=rie, environ={"NODE_OPTIONS": "--enable-source-maps"}) as running:
            plain, over_http, failed = (
                json.loads(running.invoke(json.dumps(event).encode())[0])
                for event in ({"name": " Ada "}, http, {"fail": "as it was asked to"})
            )
        assert plain == {"greeting": "Hello, Ada", "node": f"v{version}"}
        assert json.loads(over_http["body"])["greeting"] == "Hello, world"
        assert re.search(
            r"src/app\.ts:21\b",
            "\n".join(failed["trace"]),
        )


# deployments


@dataclass(frozen=True)
class Cloud:
    """An emulated account with layers published by `invoke publish`, and the commands that use it."""

    running: emulators.Emulator
    invoke: object
    path: str
    folder: Path

    @property
    def manifest(self):
        return self.folder / "layers.json"

    def command(self, *line, **changes):
        variables = {"AWS_DEFAULT_REGION": None, "SAM_CLI_POLL_DELAY": "0.5", **changes}
        return self.invoke(*line, cwd=self.folder, **self.running.environ(PATH=self.path, **variables))

    def ran(self, *line, **changes):
        done = self.command(*line, **changes)
        assert done.code == 0, done.err
        return done

    def arn(self, version=OLD, region=FIRST_REGION):
        return arn_for(version, region, manifest=self.manifest)

    @cached_property
    def cloudformation(self):
        return self.running.client("cloudformation", region=FIRST_REGION)


@pytest.fixture(scope="session")
def cloud(cache_folder, invoke, layer, path, tmp_path_factory):
    out = {layer(version).zip.parent for version in (OLD, NEW)}.pop()
    with emulators.ministack_with_functions(cache_folder) as running:
        made = Cloud(running, invoke, path, tmp_path_factory.mktemp("cloud"))
        for version in (OLD, NEW):
            made.ran(
                "publish", f"--node={version}", f"--regions={FIRST_REGION},{SECOND_REGION}", f"--out={out}"
            )
        yield made


@pytest.fixture(scope="session")
def deployed(image, cloud):
    """Deploy a stack in the second region; return the outcomes of deploy and of invoke-function."""
    assert image
    done = cloud.ran("deploy", f"--region={SECOND_REGION}", f"--layer-arn={cloud.arn(region=SECOND_REGION)}")
    return done, cloud.ran("invoke-function", f"--region={SECOND_REGION}")


@pytest.mark.docker
def test_deploy_by_arn_runs_the_function_on_that_layer(cloud, deployed):
    done, invoked = deployed
    assert outputs(done)["LayerArn"] == cloud.arn(region=SECOND_REGION)
    assert "Successfully created/updated stack - nodelayer-sample in us-east-1" in done.err
    answer = json.loads(invoked.out)
    assert (answer["node"], answer["event"]) == (f"v{OLD}", {"hello": "world"})
    assert "REPORT RequestId" in invoked.err


@pytest.mark.docker
@pytest.mark.usefixtures("image")
def test_canary_starts_the_layer_before_it_becomes_public(cloud, layer):
    regions = ("eu-central-1", "eu-north-1")
    built = layer(NEW).zip  # it runs on provided.al2023 only, for which there is an image
    done = cloud.ran(
        "publish",
        f"--node={NEW}",
        f"--out={built.parent}",
        f"--regions={','.join(regions)}",
        "--public",
        f"--canary={regions[0]}",
        "--canary-starts=2",
    )
    assert "Canary: 2 functions, 7 invocations" in done.err
    assert re.search(rf"{regions[0]}: nodejs-\S+ starts in \d+ ms on 512 MB", done.err)
    manifest = json.loads(cloud.manifest.read_text())
    (entry,) = [each for each in manifest["layers"] if each["node_version"] == NEW]
    assert [entry["regions"][region]["public"] for region in regions] == [True, True]
    assert (entry["canary"]["region"], entry["canary"]["starts"]) == (regions[0], 2)
    assert entry["canary"]["init_ms"] >= 0  # the emulator reports less than 0.1 ms
    assert cloud.running.client("lambda", regions[0]).list_functions()["Functions"] == []


def outputs(done):
    return dict(line.split(maxsplit=1) for line in done.out.splitlines())


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_invoke_function_exits_with_8_if_the_function_fails(cloud):
    done = cloud.command("invoke-function", f"--region={SECOND_REGION}", f"--event={SAMPLE / 'fail.json'}")
    assert done.code == 8
    assert json.loads(done.out)["errorMessage"] == "as it was asked to"


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_logs_prints_the_log_of_the_function(cloud):
    cloud.ran("invoke-function", f"--region={SECOND_REGION}")
    assert "REPORT RequestId" in cloud.ran("logs", f"--region={SECOND_REGION}").out


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_deploy_by_node_moves_the_stack_to_another_layer_and_adds_a_public_url(cloud):
    flags = ("--node=24", f"--manifest={cloud.manifest}", "--http=url", "--public")
    done = cloud.ran("deploy", f"--region={SECOND_REGION}", *flags)
    assert "warning: everyone on the internet will be able to call the function" in done.err
    found = outputs(done)
    assert (found["HttpAccess"], found["LayerArn"]) == (
        "everyone on the internet",
        cloud.arn(NEW, SECOND_REGION),
    )
    host = found["UrlAddress"].removeprefix("https://").removesuffix("/")
    over_http = requests.get(f"{cloud.running.endpoint}/a?b=c", headers={"Host": host}, timeout=60).json()
    assert (over_http["node"], over_http["event"]["rawPath"]) == (f"v{NEW}", "/a")
    assert json.loads(cloud.ran("invoke-function", f"--region={SECOND_REGION}").out)["node"] == f"v{NEW}"


@pytest.mark.docker
@pytest.mark.usefixtures("image")
def test_require_and_import_find_dependencies_in_a_layer(cloud, tmp_path):
    folder = tmp_path / "dependencies-layer"
    shutil.copytree(EXAMPLES / "dependencies-layer", folder, ignore=shutil.ignore_patterns(".aws-sam"))
    sam = Sam(cloud.path, cloud.running)
    sam("build", cwd=folder)
    event = json.loads((folder / "event.json").read_bytes())
    for function, version in (("CommonJs", OLD), ("EsModule", NEW)):
        flags = (
            "--parameter-overrides",
            f"LayerArn={cloud.arn(version)}",
            f"--layer-cache-basedir={tmp_path}",
        )
        answer = sam.answer(function, event, *flags, cwd=folder)
        assert (answer["node"], answer["ms"]) == (f"v{version}", 2 * 24 * 3600 * 1000)


# refusals


def refused(cloud, code, *line, **changes):
    """Run a command that fails with this code; return its one line of output."""
    done = cloud.command(*line, **changes)
    assert (done.code, len(done.lines), done.out) == (code, 1, ""), done.err
    return done.err.strip()


def test_deploy_without_credentials_fails_before_the_build(cloud):
    no_credentials = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    message = refused(
        cloud, 7, "deploy", f"--region={FIRST_REGION}", f"--layer-arn={cloud.arn()}", **no_credentials
    )
    assert "no AWS credentials" in message


def test_deploy_of_a_layer_that_the_account_cannot_read_fails_before_the_build(cloud):
    line = ("deploy", f"--region={FIRST_REGION}", f"--layer-arn={cloud.arn()}")
    message = refused(cloud, 9, *line, AWS_ACCESS_KEY_ID=OTHER_ACCOUNT)
    assert f"account {OTHER_ACCOUNT} cannot read the layer" in message
    own = refused(cloud, 9, "deploy", f"--region={FIRST_REGION}", f"--layer-arn={cloud.arn()}9")
    assert "this layer version does not exist in this account" in own


def test_deploy_of_a_layer_that_is_not_in_the_manifest_fails(cloud):
    line = ("deploy", "--node=14", f"--region={SECOND_REGION}", f"--manifest={cloud.manifest}")
    assert "no layer of Node.js 14 for x86_64 in us-east-1" in refused(cloud, 3, *line)


@pytest.mark.parametrize("name", ["invoke-function", "logs", "destroy"])
def test_stack_that_does_not_exist_is_an_error(cloud, name):
    message = refused(cloud, 3, name, "--stack-name=nowhere", f"--region={FIRST_REGION}")
    assert f"this stack does not exist [{FIRST_REGION} nowhere]" in message


def test_stack_with_other_resources_is_refused_and_not_changed(cloud):
    stack(cloud, "other", {"Type": "AWS::CloudFormation::WaitConditionHandle"}, "Orders of our shop")
    named = ("--stack-name=other", f"--region={FIRST_REGION}")
    for line in (("deploy", f"--layer-arn={cloud.arn()}"), ("destroy", "--yes")):
        message = refused(cloud, 9, *line, *named)
        assert "nodelayer did not deploy this stack: it contains Only" in message
    assert status(cloud, "other") == "CREATE_COMPLETE"


def test_deploy_refuses_a_layer_of_another_architecture(cloud):
    message = refused(
        cloud, 9, "deploy", f"--region={FIRST_REGION}", f"--layer-arn={cloud.arn()}", "--arch=arm64"
    )
    assert "the layer is for x86_64, but the function would be for arm64" in message
    assert message.endswith("use --arch x86_64")


def test_destroy_deletes_a_stack_whose_first_deployment_failed(cloud):
    broken = {
        "Type": "AWS::Lambda::Function",
        "Properties": {"Role": "x", "Code": {"S3Bucket": "x", "S3Key": "x"}},
    }
    broken["Properties"] |= {
        "Runtime": "provided.al2023",
        "Handler": "x",
        "Layers": [cloud.arn(region=SECOND_REGION)],
    }
    stack(cloud, "rolled", broken, DESCRIPTION, "Function")
    assert "Layers are not in the same region" in failure(cloud, "rolled")
    named = ("--stack-name=rolled", f"--region={FIRST_REGION}")
    message = refused(cloud, 9, "deploy", f"--layer-arn={cloud.arn()}", *named)
    assert "its status is ROLLBACK_COMPLETE" in message
    assert "invoke destroy --region eu-west-1 --stack-name rolled" in message
    cloud.ran("destroy", "--yes", *named)
    assert "this stack does not exist" in refused(cloud, 3, "destroy", "--yes", *named)


def failure(cloud, name):
    """Return the reason for the failure of a stack."""
    session = boto3.Session(ACCOUNT, "secret", region_name=FIRST_REGION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", cloud.running.endpoint)
        account = Account(
            session, ACCOUNT, Partition("aws", (FIRST_REGION,), frozenset({FIRST_REGION})), FIRST_REGION
        )
        return account.region(FIRST_REGION).stacks.failure(name)


def stack(cloud, name, resource, description, logical_id="Only"):
    """Create a stack of one resource without SAM and wait until it is idle."""
    body = json.dumps({"Description": description, "Resources": {logical_id: resource}})
    cloud.cloudformation.create_stack(StackName=name, TemplateBody=body)
    end = time.monotonic() + 30
    while status(cloud, name).endswith("IN_PROGRESS"):
        assert time.monotonic() < end
        time.sleep(0.1)


def status(cloud, name):
    return cloud.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]


SECOND = (f"--region={SECOND_REGION}", "--stack-name=second")


@pytest.fixture(scope="session")
def second(cloud, deployed, layer, tmp_path_factory):
    """Deploy another stack three times; return the response of a function in TypeScript in it."""
    assert deployed
    source = tmp_path_factory.mktemp("my function")
    for name, text in TYPESCRIPT.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    built = ("--built", f"--out={layer(OLD).zip.parent}")
    cloud.ran("deploy", *SECOND, *built, f"--node={NEW}")
    cloud.ran("deploy", *SECOND, f"--layer-arn={cloud.arn(region=SECOND_REGION)}")
    named = (f"--function={source}", "--handler=function.handler", "--code-cache")
    deployment = cloud.ran("deploy", *SECOND, *built, f"--node={OLD}", *named)
    assert f"Code cache for Node.js {OLD} on x86_64: 1 files" in deployment.err
    return json.loads(cloud.ran("invoke-function", *SECOND).out)


TYPESCRIPT = {
    "function.ts": """import { words } from './src/words';
export const handler = async (event: { hello?: string }) =>
  ({ node: process.version, text: words(event?.hello ?? 'nobody') });
""",
    "src/words.ts": "import greet from 'greet';\nexport const words = (name: string) => greet(name);\n",
    "greet/index.js": "module.exports = (name) => `Hello, ${name?.trim()}`;\n",
    "greet/package.json": '{"name": "greet", "version": "1.0.0"}',
    "package.json": '{"dependencies": {"greet": "file:greet"}}',
}


@pytest.mark.docker
def test_deploy_bundles_a_function_in_typescript_for_the_node_of_its_layer(second):
    assert second == {"node": f"v{OLD}", "text": "Hello, world"}  # Node.js 12.16.1 does not parse ?. and ??


@pytest.mark.docker
@pytest.mark.usefixtures("second")
def test_destroy_deletes_only_the_files_of_its_stack(cloud):
    assert {each.partition("/")[0] for each in uploaded(cloud)} == {"nodelayer-sample", "second"}
    first = [each for each in uploaded(cloud) if not each.startswith("second/")]
    cloud.ran("destroy", "--yes", *SECOND)
    assert uploaded(cloud) == first != []


def uploaded(cloud):
    """Return the names of all files in SAM's bucket."""
    s3 = cloud.running.client("s3", region=SECOND_REGION)
    (bucket,) = [
        each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("aws-sam-cli")
    ]
    return sorted(each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", []))


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_destroy_without_a_terminal_needs_yes(cloud):
    message = refused(cloud, 2, "destroy", f"--region={SECOND_REGION}")
    assert "use --yes to skip this question" in message
    cloud.ran("destroy", "--yes", f"--region={SECOND_REGION}")
    functions = cloud.running.client("lambda", region=SECOND_REGION).list_functions()["Functions"]
    assert functions == uploaded(cloud) == []
