"""A publisher at work on an emulator of AWS, and what a test sees of it from outside."""

import json
import subprocess
from pathlib import Path

from publish.emulators import ACCOUNT
from support import Outcome, command

from nodelayer.aws import account as aws
from nodelayer.aws import regions
from nodelayer.aws.account import Access
from nodelayer.layer import artifact
from nodelayer.manifest import model as manifest
from nodelayer.publish.layers import plan
from nodelayer.publish.layers import publisher as publish
from nodelayer.util.console import Reporter

LAYER = "nodejs-12-16-1-x86_64"
THREE = ("ap-south-1", "eu-west-1", "us-east-1")
PUBLIC = Access(public=True)


class Shop:
    """Layers in `dist`, a manifest, an account; `seen` is the emulator behind the proxy, if there is one."""

    def __init__(self, folder, endpoint, seen=None, account=ACCOUNT):
        self.folder = folder
        self.endpoint = endpoint
        self.account = account
        self.seen = seen or endpoint
        self.dist = folder / "dist"
        self.path = folder / "layers.json"
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
        return subprocess.Popen(
            command(*words),
            cwd=self.folder,
            env=self.endpoint.environ(account=self.account, **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # the same without a process, for the many ways in which a call can fail

    def publisher(self, wanted=THREE, stop=None):
        account = aws.open_account(profile=None, wanted=tuple(wanted) if wanted else None)
        selection = regions.select(tuple(wanted) if wanted else None, account.partition, account.statuses())
        return publish.Publisher(account, self.path, Reporter(quiet=True), stop), selection

    def plan(self, wanted=THREE, spec="12", **order):
        publisher, selection = self.publisher(wanted)
        return publisher.plan(self.artifacts(spec), selection, plan.PublishOptions(**order))

    def publish(self, wanted=THREE, spec="12", **order):
        publisher, selection = self.publisher(wanted)
        wish = plan.PublishOptions(**order)
        planned = publisher.plan(self.artifacts(spec), selection, wish)
        return publisher.run(self.artifacts(spec), selection, wish, planned)

    def artifacts(self, spec="12"):
        return artifact.built(spec, ["x86_64"], self.dist)

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
        return manifest.read(self.path)

    def recorded(self, layer=LAYER):
        """By region the highest number that the manifest gives out."""
        found = {}
        for each in self.manifest().layers:
            for region, published in each.live() if each.layer_name == layer else ():
                found[region] = max(published.version, found.get(region, 0))
        return found

    def files(self):
        return {path.name for path in Path(self.folder).iterdir()}
