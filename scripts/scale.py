"""The tables of docs/scale.md: what a number of versions costs in time, bytes and money.

    python scripts/scale.py [--versions 9 --versions 500] [--regions 34]     to stdout
    python scripts/scale.py --write                                          into docs/scale.md

Measured figures are those of benchmarks/results; prices and limits stand here, with the page they are from.
"""

import argparse
import json
import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import mean, median
from typing import Any

from nodelayer.aws import quotas
from nodelayer.github import matrix

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- made by scripts/scale.py -->", "<!-- end of what was made -->"
VERSIONS, REGIONS, ARCHITECTURES = (9, 500), 34, 2

# Assumed, where nothing could be measured: to be replaced by what a first release shows.
SET_UP_S = 90
"""Of a job: checkout, Python, the packages of pyproject.toml, the emulator."""
UPLINK = 125_000_000
"""Bytes a second that a runner sends, to all regions together: 1 Gbit/s."""

# docs.github.com/en/billing/reference/actions-runner-pricing: USD a minute, 2 cores, private repositories.
# Each job is rounded up to a minute. Public ones pay nothing for standard runners.
PRICES = {"x86_64": 0.006, "arm64": 0.005}
# docs.github.com/en/actions/reference/limits: jobs at once on the plan Free; requests of a GITHUB_TOKEN.
AT_ONCE = 20
TOKEN_REQUESTS_AN_HOUR = 1000
# docs.github.com/en/repositories/releasing-projects-on-github/about-releases
RELEASE_ASSETS = 1000
# AWS's Lambda guide says 75 on its page of quotas, and 300 on that of self-managed storage
STORAGE_GB = (75, 300)

# Counted on an emulator, tests/publish/test_publish.py: a layer made public in one region takes two
# ListLayerVersions, PublishLayerVersion, GetLayerVersion, AddLayerVersionPermission, GetLayerVersionPolicy.
REQUESTS = 6
FILES = 3
"""Of a layer, attached to a release: zip, build record, SBOM."""
ATTESTATIONS = 2
"""Of a layer: provenance and SBOM."""


@dataclass(frozen=True)
class Figures:
    """What was measured. Seconds of one layer; bytes of a zip, the mean and the largest."""

    built_s: float
    tried_s: float
    zip_bytes: float
    largest: int
    first_publish_s: float
    manifest_bytes: int
    manifest_read_s: float
    manifest_record_s: float
    page_bytes: int
    page_gzip_bytes: int
    layer_versions: int


def measured() -> Figures:
    """From benchmarks/results."""
    build, publish, catalog = (_read(name) for name in ("build", "publish", "catalog"))
    rows = build["versions"]
    everywhere = next(each for each in publish["ways"] if each["name"] == "all" and each["bandwidth"])
    manifest = {each["what"].partition(":")[0]: median(each["seconds"]) for each in publish["manifest"]}
    return Figures(
        built_s=mean(each["first"] for each in rows),
        tried_s=mean(each["tried"] for each in rows),
        zip_bytes=mean(each["size"] for each in rows),
        largest=max(each["size"] for each in rows),
        first_publish_s=median(each["total"] for each in everywhere["runs"]),
        manifest_bytes=publish["manifest_bytes"],
        manifest_read_s=manifest["read"],
        manifest_record_s=manifest["record one entry"],
        page_bytes=catalog["page_bytes"],
        page_gzip_bytes=catalog["page_gzip_bytes"],
        layer_versions=catalog["layer_versions"],
    )


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_bytes())
    return found


@dataclass(frozen=True)
class Scale:
    """What follows for so many versions, on both architectures, in so many regions."""

    figures: Figures
    versions: int
    regions: int

    @property
    def layers(self) -> int:
        return self.versions * ARCHITECTURES

    @property
    def runs(self) -> int:
        return ceil(self.layers / matrix.BATCH)

    @property
    def jobs(self) -> int:
        """Of the largest run."""
        return min(self.layers, matrix.BATCH, matrix.MATRIX_JOBS)

    @property
    def job_s(self) -> float:
        """A job that builds and tries its share."""
        share = ceil(min(self.layers, matrix.BATCH) / self.jobs)
        return SET_UP_S + share * (self.figures.built_s + self.figures.tried_s)

    @property
    def billed_minutes(self) -> int:
        """Of all build jobs, each rounded up."""
        return ceil(self.layers * self.jobs / min(self.layers, matrix.BATCH)) * ceil(self.job_s / 60)

    @property
    def price(self) -> float:
        return self.billed_minutes * mean(PRICES.values()) + ceil(self.publish_s / 60) * PRICES["x86_64"]

    @property
    def build_hours(self) -> float:
        """Until the last build job is done, run after run, so many jobs at once."""
        return self.runs * ceil(self.jobs / AT_ONCE) * self.job_s / 3600

    @property
    def rate_s(self) -> float:
        """The least that publishing takes at Lambda's rate; regions do not share it."""
        return self.layers * REQUESTS / quotas.REQUESTS_A_SECOND

    @property
    def sent(self) -> float:
        """Bytes: base64 in JSON is 4/3."""
        return self.layers * self.figures.zip_bytes * 4 / 3 * self.regions

    @property
    def publish_s(self) -> float:
        """The slower of the two."""
        return max(self.rate_s, self.sent / UPLINK)

    @property
    def stored(self) -> float:
        """Bytes in each region."""
        return self.layers * self.figures.zip_bytes

    @property
    def entries(self) -> int:
        return self.layers * self.regions

    def rows(self) -> list[str]:
        """One cell for each of LABELS."""
        return [
            f"{self.layers:,}",
            f"{self.entries:,}",
            f"{self.runs}, of {self.jobs} jobs",
            f"{self.job_s / 60:.1f} min",
            f"{self.billed_minutes:,} min",
            f"${self.price:.2f}; nothing",
            f"{self.build_hours * 60:.0f} min",
            f"{self.rate_s / 60:.1f} min",
            f"{self.sent / 1e9:,.0f} GB",
            f"{self.publish_s / 60:,.0f} min, {self.publish_s / self.runs / 60:.0f} min",
            f"{min(self.layers, matrix.BATCH) * self.figures.zip_bytes / 1e9:.1f} GB",
            f"{self.stored / 1e9:.1f} GB",
            " and ".join(f"{self.stored / limit / 1e7:.0f} %" for limit in STORAGE_GB),
            f"{self.figures.manifest_bytes * self.entries / self.figures.layer_versions / 1e6:.2f} MB",
            f"{self.layers * FILES:,} of {RELEASE_ASSETS:,}",
            f"{min(self.layers, matrix.BATCH) * ATTESTATIONS} of {TOKEN_REQUESTS_AN_HOUR:,} an hour",
        ]


LABELS = (
    "layers: versions x 2",
    "layer versions: layers x regions",
    f"workflow runs: layers / {matrix.BATCH}",
    "a build job: set-up + layers x (build + try)",
    "billed: jobs x its minutes, rounded up",
    "price, with publishing: private; public repository",
    f"build, waited for, {AT_ONCE} jobs at once",
    f"publish, at least: layers x {REQUESTS} / {quotas.REQUESTS_A_SECOND} a second",
    "sent: layers x zip x 4/3 x regions",
    "publish, at 1 Gbit/s: in all, and each run",
    "artifacts of one run: layers x zip",
    "code storage, each region: layers x zip",
    f"of {' and '.join(map(str, STORAGE_GB))} GB",
    "manifest: measured, in proportion",
    f"release assets: layers x {FILES}",
    f"requests to GitHub, each run: layers x {ATTESTATIONS}",
)


def tables(versions: tuple[int, ...], regions: int) -> str:
    """The inputs, and what follows."""
    figures = measured()
    fits = [int(limit * 1e9 / figures.zip_bytes / ARCHITECTURES) for limit in STORAGE_GB]
    inputs = {
        "build, nothing cached, mean of eight majors": f"{figures.built_s:.1f} s",
        "try: two events, mean": f"{figures.tried_s:.1f} s",
        "zip, mean and largest": f"{figures.zip_bytes / 1e6:.1f} MB, {figures.largest / 1e6:.1f} MB",
        f"one layer of 38 MB to {REGIONS} regions, 20 MB/s each": f"{figures.first_publish_s:.1f} s",
        f"manifest of {figures.layer_versions:,}": f"{figures.manifest_bytes / 1e6:.1f} MB; "
        f"read in {figures.manifest_read_s:.2f} s, one entry recorded in {figures.manifest_record_s:.2f} s",
        f"catalogue of {figures.layer_versions:,}": f"{figures.page_bytes / 1e3:.0f} kB, "
        f"{figures.page_gzip_bytes / 1e3:.0f} kB with gzip",
        f"versions that fit into {' and '.join(map(str, STORAGE_GB))} GB": " and ".join(
            f"{each:,}" for each in fits
        ),
        "assumed: set-up of a job": f"{SET_UP_S} s",
        "assumed: what a runner sends": "1 Gbit/s",
    }
    columns = [Scale(figures, each, regions).rows() for each in versions]
    head = "".join(f" {each} versions |" for each in versions)
    lines = [
        *("| measured | |", "|---|---|"),
        *(f"| {label} | {value} |" for label, value in inputs.items()),
        "",
        *(f"| {regions} regions |{head}", "|---|" + "---|" * len(versions)),
        *(f"| {label} | {' | '.join(cells)} |" for label, *cells in zip(LABELS, *columns, strict=True)),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="what a number of versions costs")
    parser.add_argument("--versions", action="append", type=int, help="how many, once or more")
    parser.add_argument("--regions", type=int, default=REGIONS, help="how many")
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/scale.md")
    options = parser.parse_args()
    made = tables(tuple(options.versions or VERSIONS), options.regions)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        around = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", flags=re.DOTALL)
        PAGE.write_text(around.sub(lambda _: f"{BEGIN}\n{made}\n{END}", page), encoding="utf-8")
    else:
        print(made)


if __name__ == "__main__":
    main()
