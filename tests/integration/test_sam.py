"""The SAM application: built, run in a container, deployed to an emulator of AWS that runs it in one too.

The image they run in is a stand-in, Debian 12 (tests/images/standin-lambda.sh): nothing here is proved of
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
HERE, THERE = "eu-west-1", "us-east-1"
TEMPLATES = [
    ROOT / "template.yaml",
    *sorted(ROOT.glob("examples/*/*.yaml")),
]
SAMPLE = ROOT / "function" / "events"
EXAMPLES = ROOT / "examples"
ALIEN = "210987654321"


@pytest.fixture(scope="session")
def tools(cache_folder):
    return Tools(DownloadCache(cache_folder))


@pytest.fixture(scope="session")
def path(tools):
    """A PATH on which `sam` is found."""
    return f"{tools.pip(*SAM_CLI) / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def image():
    """The stand-in for AWS's image; what SAM makes of it is gone afterwards."""
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
    """SAM itself, as a person runs it, without credentials or with those of an emulator."""

    path: str
    endpoint: emulators.Endpoint

    @property
    def variables(self):
        return self.endpoint.environ(PATH=self.path, AWS_DEFAULT_REGION=HERE, SAM_CLI_TELEMETRY=0)

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
        """The function's answer, which `sam local invoke` prints."""
        line = ("local", "invoke", function, "--event=-", "--skip-pull-image", *flags)
        printed = self(*line, cwd=cwd, event=json.dumps(event))
        return json.loads(printed.splitlines()[-1])  # before it, which layers it downloads


@pytest.fixture(scope="session")
def offline(path):
    return Sam(path, emulators.Endpoint("http://127.0.0.1:9"))


# what is written down


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: str(each.relative_to(ROOT)))
def test_a_template_is_valid(offline, tmp_path, template):
    told = offline("validate", "--lint", f"--template={template}", cwd=tmp_path)
    assert "is a valid SAM Template" in told


# built here, run in a container


@pytest.fixture(scope="session")
def built(invoke, layer, path, tmp_path_factory):
    """By version the folder of `invoke sam-build`, each made once."""
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
    told = answer.json()
    assert (told["node"], told["event"]["rawPath"]) == (f"v{OLD}", "/a/b")
    assert told["event"]["queryStringParameters"] == {"name": "world"}


def wait_for_port(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on port {port} after {seconds} s")


def test_sam_build_works_in_a_folder_with_spaces(layer, path, tmp_path):
    """The checkout and dist are in such a folder, and nodelayer is imported from there."""
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
    assert names == {"function.js", "package-lock.json", "package.json"}
    assert f"nodejs-{OLD}-x86_64.zip" in (built / "template.yaml").read_text()


@pytest.mark.parametrize("package", [True, False])
def test_the_makefile_copies_the_whole_function_without_a_lock_file(tmp_path, package):
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


def test_the_typescript_example_builds_one_file_for_the_oldest_node(offline, layer, rie, tmp_path):
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


# published, deployed, invoked


@dataclass(frozen=True)
class Cloud:
    """An emulated account with layers published by `invoke publish`, and our commands that speak to it."""

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

    def arn(self, version=OLD, region=HERE):
        return arn_for(version, region, manifest=self.manifest)

    @cached_property
    def cloudformation(self):
        return self.running.client("cloudformation", region=HERE)


@pytest.fixture(scope="session")
def cloud(cache_folder, invoke, layer, path, tmp_path_factory):
    out = {layer(version).zip.parent for version in (OLD, NEW)}.pop()
    with emulators.ministack_with_functions(cache_folder, "function.handler") as running:
        made = Cloud(running, invoke, path, tmp_path_factory.mktemp("cloud"))
        for version in (OLD, NEW):
            made.ran("publish", f"--node={version}", f"--regions={HERE},{THERE}", f"--out={out}")
        yield made


@pytest.fixture(scope="session")
def deployed(image, cloud):
    """The stack in the second region by the layer's ARN: what deploying it printed, and the first answer."""
    assert image
    done = cloud.ran("deploy", f"--region={THERE}", f"--layer-arn={cloud.arn(region=THERE)}")
    return done, cloud.ran("invoke-function", f"--region={THERE}")


@pytest.mark.docker
def test_deploy_by_arn_runs_the_function_on_that_layer(cloud, deployed):
    done, invoked = deployed
    assert outputs(done)["LayerArn"] == cloud.arn(region=THERE)
    assert "Successfully created/updated stack - nodelayer-sample in us-east-1" in done.err
    answer = json.loads(invoked.out)
    assert (answer["node"], answer["event"]) == (f"v{OLD}", {"hello": "world"})
    assert "REPORT RequestId" in invoked.err


def outputs(done):
    return dict(line.split(maxsplit=1) for line in done.out.splitlines())


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_invoke_function_exits_with_8_if_the_function_fails(cloud):
    done = cloud.command("invoke-function", f"--region={THERE}", f"--event={SAMPLE / 'fail.json'}")
    assert done.code == 8
    assert json.loads(done.out)["errorMessage"] == "as it was asked to"


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_logs_prints_the_log_of_the_function(cloud):
    cloud.ran("invoke-function", f"--region={THERE}")
    assert "REPORT RequestId" in cloud.ran("logs", f"--region={THERE}").out


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_deploy_by_node_moves_the_stack_to_another_layer_and_adds_a_public_url(cloud):
    flags = ("--node=24", f"--manifest={cloud.manifest}", "--http=url", "--public")
    done = cloud.ran("deploy", f"--region={THERE}", *flags)
    assert "warning: everyone on the internet will be able to call the function" in done.err
    told = outputs(done)
    assert (told["HttpAccess"], told["LayerArn"]) == ("everyone on the internet", cloud.arn(NEW, THERE))
    host = told["UrlAddress"].removeprefix("https://").removesuffix("/")
    over_http = requests.get(f"{cloud.running.endpoint}/a?b=c", headers={"Host": host}, timeout=60).json()
    assert (over_http["node"], over_http["event"]["rawPath"]) == (f"v{NEW}", "/a")
    assert json.loads(cloud.ran("invoke-function", f"--region={THERE}").out)["node"] == f"v{NEW}"


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


# what cannot be


def refused(cloud, code, *line, **changes):
    """The one line of a command that fails with that code."""
    done = cloud.command(*line, **changes)
    assert (done.code, len(done.lines), done.out) == (code, 1, ""), done.err
    return done.err.strip()


def test_deploy_without_credentials_fails_before_the_build(cloud):
    none = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    told = refused(cloud, 7, "deploy", f"--region={HERE}", f"--layer-arn={cloud.arn()}", **none)
    assert "no AWS credentials" in told


def test_deploy_of_a_layer_that_the_account_cannot_read_fails_before_the_build(cloud):
    line = ("deploy", f"--region={HERE}", f"--layer-arn={cloud.arn()}")
    told = refused(cloud, 9, *line, AWS_ACCESS_KEY_ID=ALIEN)
    assert f"account {ALIEN} cannot read the layer" in told
    own = refused(cloud, 9, "deploy", f"--region={HERE}", f"--layer-arn={cloud.arn()}9")
    assert "this layer version does not exist in this account" in own


def test_deploy_of_a_layer_that_is_not_in_the_manifest_fails(cloud):
    line = ("deploy", "--node=14", f"--region={THERE}", f"--manifest={cloud.manifest}")
    assert "no layer of Node.js 14 for x86_64 in us-east-1" in refused(cloud, 3, *line)


@pytest.mark.parametrize("name", ["invoke-function", "logs", "destroy"])
def test_a_stack_that_does_not_exist_is_an_error(cloud, name):
    told = refused(cloud, 3, name, "--stack-name=nowhere", f"--region={HERE}")
    assert f"this stack does not exist [{HERE} nowhere]" in told


def test_a_stack_that_holds_something_else_is_not_changed(cloud):
    stack(cloud, "other", {"Type": "AWS::CloudFormation::WaitConditionHandle"}, "Orders of our shop")
    named = ("--stack-name=other", f"--region={HERE}")
    for line in (("deploy", f"--layer-arn={cloud.arn()}"), ("destroy", "--yes")):
        told = refused(cloud, 9, *line, *named)
        assert "this is not a stack of the sample function: it contains Only" in told
    assert status(cloud, "other") == "CREATE_COMPLETE"


def test_deploy_refuses_a_layer_of_another_architecture(cloud):
    told = refused(cloud, 9, "deploy", f"--region={HERE}", f"--layer-arn={cloud.arn()}", "--arch=arm64")
    assert "the layer is for x86_64, but the function would be for arm64" in told
    assert told.endswith("use --arch x86_64")


def test_destroy_deletes_a_stack_whose_first_deployment_failed(cloud):
    broken = {
        "Type": "AWS::Lambda::Function",
        "Properties": {"Role": "x", "Code": {"S3Bucket": "x", "S3Key": "x"}},
    }
    broken["Properties"] |= {
        "Runtime": "provided.al2023",
        "Handler": "x",
        "Layers": [cloud.arn(region=THERE)],
    }
    stack(cloud, "rolled", broken, DESCRIPTION, "Function")
    assert "Layers are not in the same region" in failure(cloud, "rolled")
    named = ("--stack-name=rolled", f"--region={HERE}")
    told = refused(cloud, 9, "deploy", f"--layer-arn={cloud.arn()}", *named)
    assert "its status is ROLLBACK_COMPLETE" in told
    assert "invoke destroy --region eu-west-1 --stack-name rolled" in told
    cloud.ran("destroy", "--yes", *named)
    assert "this stack does not exist" in refused(cloud, 3, "destroy", "--yes", *named)


def failure(cloud, name):
    """What the account says of why the stack failed."""
    session = boto3.Session(ACCOUNT, "secret", region_name=HERE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", cloud.running.endpoint)
        account = Account(session, ACCOUNT, Partition("aws", (HERE,)), HERE)
        return account.region(HERE).stacks.failure(name)


def stack(cloud, name, resource, description, logical_id="Only"):
    """A stack of one resource, made without SAM, once it has come to rest."""
    body = json.dumps({"Description": description, "Resources": {logical_id: resource}})
    cloud.cloudformation.create_stack(StackName=name, TemplateBody=body)
    end = time.monotonic() + 30
    while status(cloud, name).endswith("IN_PROGRESS"):
        assert time.monotonic() < end
        time.sleep(0.1)


def status(cloud, name):
    return cloud.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_destroy_deletes_the_files_of_its_stack_only(cloud, layer):
    out = layer(OLD).zip.parent
    named = (f"--region={THERE}", "--stack-name=second")
    cloud.ran("deploy", *named, f"--layer-arn={cloud.arn(region=THERE)}")
    for version in (OLD, NEW):
        cloud.ran("deploy", *named, "--built", f"--node={version}", f"--out={out}")
    assert {each.partition("/")[0] for each in uploaded(cloud)} == {"nodelayer-sample", "second"}
    first = [each for each in uploaded(cloud) if not each.startswith("second/")]
    cloud.ran("destroy", "--yes", *named)
    assert uploaded(cloud) == first != []


def uploaded(cloud):
    """The names of all files in SAM's bucket."""
    s3 = cloud.running.client("s3", region=THERE)
    (bucket,) = [
        each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("aws-sam-cli")
    ]
    return sorted(each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", []))


@pytest.mark.docker
@pytest.mark.usefixtures("deployed")
def test_destroy_without_a_terminal_needs_yes(cloud):
    told = refused(cloud, 2, "destroy", f"--region={THERE}")
    assert "use --yes to skip this question" in told
    cloud.ran("destroy", "--yes", f"--region={THERE}")
    functions = cloud.running.client("lambda", region=THERE).list_functions()["Functions"]
    assert functions == uploaded(cloud) == []
