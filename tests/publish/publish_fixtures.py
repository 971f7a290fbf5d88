"""A folder with layers to publish to an emulator of AWS, and what the emulator then holds."""

import json
import subprocess
from pathlib import Path

from publish.emulators import ACCOUNT
from support import Outcome, command, start

from nodelayer.aws import regions
from nodelayer.aws.account import open_account
from nodelayer.aws.functions import Invocation
from nodelayer.aws.layers import Access
from nodelayer.layer import artifact
from nodelayer.manifest import store
from nodelayer.publish.layers.plan import PublishOptions
from nodelayer.publish.layers.publisher import Publisher
from nodelayer.publish.layers.report import RunReport
from nodelayer.util.console import Reporter

LAYER = "nodejs-12-16-1-x86_64"
THREE = ("ap-south-1", "eu-west-1", "us-east-1")
PUBLIC = Access(public=True)


def sample_answer(event, *, streamed=False, node="12.16.1", arch="x64", init="118.20"):
    """Answer as the sample function does on the layer; the emulator runs no function."""
    asked = json.loads(event)
    answer = {"node": f"v{node}", "architecture": arch, "event": asked}
    if streamed:
        answer["streamed"] = True
    if "fail" in asked:
        answer = {"errorMessage": asked["fail"]}
    elif "requestContext" in asked:
        answer = {"statusCode": 200, "body": json.dumps(answer)}
    return Invocation(json.dumps(answer).encode(), "fail" in asked, f"Init Duration: {init} ms")


class Workspace:
    """Layers in `dist`, a manifest, an account; `seen` is the emulator behind the proxy, if there is one."""

    def __init__(self, folder, endpoint, seen=None, account=ACCOUNT):
        self.folder = folder
        self.endpoint = endpoint
        self.account = account
        self.seen = seen or endpoint
        self.dist = folder / "dist"
        self.path = folder / "layers.json"
        self.architectures = ("x86_64",)
        self._clients = {}

    # as its users run it

    def command(self, *words, answer=None, **changes):
        done = subprocess.run(
            command(*words),
            cwd=self.folder,
            env=self.endpoint.environ(account=self.account, **changes),
            input=answer,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *words, **changes):
        return start(
            command(*words),
            cwd=self.folder,
            env=self.endpoint.environ(account=self.account, **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # the same without a process, for the many ways in which a call can fail

    def publisher(self, wanted=THREE, stop=None):
        account = open_account(profile=None, wanted=tuple(wanted) if wanted else None)
        selection = regions.select(tuple(wanted) if wanted else None, account.partition, account.statuses())
        report = RunReport(Reporter(quiet=True), "publish")
        return Publisher(account, self.path, report, stop), selection

    def plan(self, wanted=THREE, spec="12", **options):
        publisher, selection = self.publisher(wanted)
        return publisher.plan(self.artifacts(spec), selection, PublishOptions(**options))

    def publish(self, wanted=THREE, spec="12", **options):
        publisher, selection = self.publisher(wanted)
        wanted = PublishOptions(**options)
        planned = publisher.plan(self.artifacts(spec), selection, wanted)
        return publisher.run(self.artifacts(spec), selection, wanted, planned)

    def artifacts(self, spec="12"):
        specs = spec.split(",")
        return [each for spec in specs for each in artifact.built(spec, self.architectures, self.dist)]

    # what is there, asked of the emulator directly

    def lambda_(self, region):
        if region not in self._clients:
            self._clients[region] = self.seen.client("lambda", region, self.account)
        return self._clients[region]

    def versions(self, region, layer=LAYER):
        """Number by number, lowest first: what content, and who may use it."""
        client = self.lambda_(region)
        found = {}
        for each in client.list_layer_versions(LayerName=layer)["LayerVersions"]:
            content = client.get_layer_version(LayerName=layer, VersionNumber=each["Version"])["Content"]
            found[each["Version"]] = (content["CodeSha256"], self.access(region, each["Version"], layer))
        return dict(sorted(found.items()))

    def access(self, region, version, layer=LAYER):
        client = self.lambda_(region)
        try:
            answer = client.get_layer_version_policy(LayerName=layer, VersionNumber=version)
        except client.exceptions.ResourceNotFoundException:
            return "private"
        statements = json.loads(answer["Policy"])["Statement"]
        return ", ".join(
            sorted(
                each.get("Condition", {}).get("StringEquals", {}).get("aws:PrincipalOrgID", "public")
                for each in statements
            )
        )

    def manifest(self):
        return store.read(self.path)

    def recorded(self, layer=LAYER):
        """By region the highest number that the manifest gives out."""
        found = {}
        for each in self.manifest().layers:
            for region, published in each.live() if each.layer_name == layer else ():
                found[region] = max(published.version, found.get(region, 0))
        return found

    def files(self):
        return {path.name for path in Path(self.folder).iterdir()}
