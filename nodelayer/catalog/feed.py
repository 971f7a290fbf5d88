"""The Atom feed (RFC 4287) of newly published layers."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from nodelayer.aws.arn import LayerVersionArn
from nodelayer.catalog import templates
from nodelayer.manifest.model import Layer, Manifest, Withdrawal
from nodelayer.node import versions

FILE = "feed.atom"

_ENTRIES = 100
_NEVER = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class _Entry:
    id: str
    layer: Layer
    regions: Sequence[str]
    published: str
    updated: str
    withdrawal: Withdrawal | None

    @property
    def time(self) -> str:
        """When it became news."""
        return self.withdrawal.time if self.withdrawal else self.published


def render(manifest: Manifest, page_url: str, page_file: str) -> str:
    """Render the feed of the newest layers. It links to `page_url`, or else to `page_file` in its folder."""
    entries = [entry for layer in manifest.layers if (entry := _entry(layer))]
    entries.sort(key=lambda each: (each.time, versions.sort_key(each.layer.node_version)), reverse=True)
    arns = [LayerVersionArn.parse(each.arn) for layer in manifest.layers for each in layer.regions.values()]
    return templates.render(
        FILE,
        id=page_url or _urn("catalogue", min((arn.account for arn in arns), default="")),
        updated=max((each.updated for each in entries), default=_NEVER),
        page_url=page_url or page_file,
        feed_url=f"{page_url.rpartition('/')[0]}/{FILE}" if page_url else FILE,
        entries=entries[:_ENTRIES],
    )


def _entry(layer: Layer) -> _Entry | None:
    """Return the entry of a layer, or None if no region has it. Its id stays the same in later feeds."""
    live = dict(layer.live())
    if not live:
        return None
    times = sorted(each.published for each in live.values())
    withdrawal = next((each.withdrawn for each in live.values() if each.withdrawn), None)
    updated = withdrawal.time if withdrawal else times[-1]
    return _Entry(_urn(*layer.key), layer, tuple(live), times[0], updated, withdrawal)


def _urn(*words: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, " ".join(("nodelayer", *words))).urn
