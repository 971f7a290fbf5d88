"""Compare the zips in GitHub releases with the manifest."""

import base64
from urllib.parse import quote

from nodelayer.github.api import GitHub
from nodelayer.manifest.model import Layer, Manifest
from nodelayer.publish.layers.verify import Problem


def compare(known: Manifest, github: GitHub) -> list[Problem]:
    """Return a problem for each offered layer whose zip its nodelayer's release lacks or has differently.

    Raises:
        NodelayerError: GitHub cannot be asked.
    """
    by_version: dict[str, dict[str, list[Layer]]] = {}
    for layer in known.layers:
        if any(layer.offered()):
            name = f"nodejs-{layer.node_version}-{layer.architecture}.zip"
            by_version.setdefault(layer.nodelayer_version, {}).setdefault(name, []).append(layer)
    problems = []
    for version, files in by_version.items():
        tag = f"v{version}"
        release = github.find(f"releases/tags/{quote(tag, safe='')}")
        if release is None:
            problems.append(Problem("", tag, "this tag has no release", healed=False))
            continue
        assets = {each["name"]: each for each in github.every(f"releases/{release['id']}/assets")}
        for name, layers in files.items():
            asset = assets.get(name)
            wanted = {(each.size, f"sha256:{base64.b64decode(each.code_sha256).hex()}") for each in layers}
            if asset is None or asset["state"] != "uploaded":
                problems.append(Problem("", tag, f"the release has no asset {name}", healed=False))
            elif (asset["size"], asset.get("digest")) not in wanted:
                problems.append(Problem("", tag, f"the asset {name} is not the published zip", healed=False))
    return problems
