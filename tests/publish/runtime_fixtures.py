"""Small images, and a folder from which they are published to stand-ins of Lambda and ECR."""

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from publish.emulators import ACCOUNT
from support import Outcome, command

from nodelayer.architecture import parse
from nodelayer.aws import regions as all_regions
from nodelayer.aws.account import open_account
from nodelayer.aws.layers import PRIVATE
from nodelayer.image import oci
from nodelayer.image.oci import Descriptor, Index, Manifest, Platform
from nodelayer.image.record import SUFFIX, ImageRecord, PlatformRecord, layout_name, stem
from nodelayer.manifest import store
from nodelayer.publish.layers.report import RunReport
from nodelayer.publish.runtimes.run import built_images, run
from nodelayer.util.console import Reporter

TWO = ("eu-west-1", "us-east-1")
ARCHITECTURES = ("x86_64", "arm64")
BASE = random.Random("base").randbytes(3000)
"""The layer of the base image, which every image has."""


def make_image(folder, node="12.16.1", nodelayer="0.0.1", *, size=4096, seed=""):
    """An image as build-image writes it, whose own layers are bytes of chance; returns its digest."""
    layout = folder / layout_name(node)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def add(data, media_type, platform=None):
        digest = oci.digest(data)
        (blobs / digest.partition(":")[2]).write_bytes(data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data), platform=platform)

    children, platforms = [], []
    for name in ARCHITECTURES:
        platform = Platform.of(parse(name)[0])
        layer = random.Random(f"{node} {nodelayer} {name} {seed}").randbytes(size)
        config = oci.encode(
            {"architecture": platform.architecture, "os": "linux", "layer": oci.digest(layer)}
        )
        manifest = Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            config=add(config, oci.CONFIG),
            layers=[add(BASE, oci.LAYER_GZIP), add(layer, oci.LAYER_GZIP)],
        )
        children.append(add(oci.encode(manifest), oci.MANIFEST, platform))
        platforms.append(
            PlatformRecord(
                architecture=name,
                manifest=children[-1].digest,
                config=manifest.config.digest,
                layer=manifest.layers[1].digest,
                diff_id=manifest.layers[1].digest,
                size=len(BASE) + size,
                base=oci.digest(BASE),
                zip=f"nodejs-{node}-{name}.zip",
                zip_sha256="0" * 64,
            )
        )
    index = add(oci.encode(Index(schema_version=2, media_type=oci.INDEX, manifests=children)), oci.INDEX)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_bytes(oci.encode(Index(schema_version=2, manifests=[index])))
    record = ImageRecord(
        node_version=node,
        nodelayer_version=nodelayer,
        digest=index.digest,
        layout=layout.name,
        base="public.ecr.aws/lambda/provided:al2023",
        platforms=platforms,
    )
    (folder / f"{stem(node)}{SUFFIX}").write_text(record.json_text())
    return index.digest


@dataclass(frozen=True)
class Ran:
    """What a run in this process did: its exit code, errors by region, JSON document and printed results."""

    code: int
    errors: dict
    document: dict
    printed: list


class RuntimeWorkspace:
    """Images in `dist`, a manifest, and the stand-ins: `core` for Lambda, STS and regions, `ecr` for ECR."""

    def __init__(self, folder, core, ecr, account=ACCOUNT):
        self.folder = folder
        self.core = core
        self.ecr = ecr
        self.account = account
        self.dist = folder / "dist"
        self.path = folder / "layers.json"
        self._clients = {}
        self._account = None

    def environ(self, **changes):
        return self.core.environ(self.account, AWS_ENDPOINT_URL_ECR=self.ecr.endpoint, **changes)

    def command(self, *words, **changes):
        done = subprocess.run(
            command(*words),
            cwd=self.folder,
            env=self.environ(**changes),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    # the same without a process, for the many ways in which a call can fail

    def open(self, regions=()):
        """The account, opened once, with the clients of these regions."""
        if self._account is None:
            self._account = open_account(profile=None, wanted=None)
            for region in map(self._account.region, regions):
                _ = region.repositories, region.runtimes
        return self._account

    def run(self, regions=TWO, node=None, access=PRIVATE, **options):
        """Publish the images of a spec, or all; `regions` None is every region of the account."""
        account = self.open()
        report = RunReport(Reporter(quiet=True), "publish-runtime")
        images, failures = built_images(self.dist, node)
        assert not failures
        printed = []
        document = run(
            images,
            access,
            account=account,
            selection=all_regions.select(regions, account.partition, account.statuses()),
            manifest=self.path,
            report=report,
            results=printed.append,
            **options,
        )
        errors = {each.region: str(each.error) for each in report.failures}
        return Ran(report.code, errors, document, printed)

    # ---- the state of the stand-ins

    def runtime(self, region, name="nodejs-12"):
        """The states of the versions, and the aliases with their versions."""
        return self.core.runtime(region, name, self.account)

    def client(self, region):
        """A client of ECR."""
        return self._client(self.ecr, "ecr", region)

    def lambda_(self, region):
        """A client of Lambda's customer-managed runtimes."""
        return self._client(self.core, "lambda-core", region)

    def _client(self, endpoint, service, region):
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = endpoint.client(service, region, self.account)
        return self._clients[key]

    def versions(self, region, name="nodejs-12"):
        """The states of the versions, as Lambda tells them."""
        return self._items(region, name, "list_runtime_versions", "State")

    def aliases(self, region, name="nodejs-12"):
        """The aliases with their versions, as Lambda tells them."""
        return self._items(region, name, "list_runtime_aliases", "RuntimeVersion")

    def _items(self, region, name, operation, member):
        client = self.lambda_(region)
        try:
            pages = client.get_paginator(operation).paginate(RuntimeName=name)
            return {each["Name"]: each[member] for page in pages for each in page["Items"]}
        except client.exceptions.ResourceNotFoundException:
            return {}

    def set_alias(self, region, alias, version, name="nodejs-12"):
        """Move an alias as another program does, which keeps its lifecycle."""
        found = self.lambda_(region).get_runtime_alias(RuntimeName=name, Name=alias)
        self.lambda_(region).update_runtime_alias(
            RuntimeName=name, Name=alias, RuntimeVersion=version, ReleaseLifecycle=found["ReleaseLifecycle"]
        )

    def images(self, region, name="nodejs-12"):
        """The images of a repository: digest to tags."""
        found = self.client(region).describe_images(repositoryName=f"nodelayer/{name}")["imageDetails"]
        return {each["imageDigest"]: each.get("imageTags", []) for each in found}

    def recorded(self):
        """The entries of the manifest, by region and version."""
        return {
            (arn.split(":")[3], arn.rpartition("/")[2]): entry
            for arn, entry in store.read(self.path).runtimes.items()
        }

    def files(self):
        return {path.name for path in Path(self.folder).iterdir()}
