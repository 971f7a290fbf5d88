"""Ask every region the same about its runtimes, and carry out changes there, all regions at once."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from nodelayer.aws.account import Account, Region
from nodelayer.aws.arn import RuntimeVersionArn
from nodelayer.aws.errors import NoApiError, NoEndpointError, NotEnabledError
from nodelayer.aws.regions import Selection
from nodelayer.errors import InvalidInputError, NodelayerError, NotFoundError, RefusedError
from nodelayer.manifest.model import Manifest
from nodelayer.node.versions import Release, exact, lts_codename, release_dates, resolve, split
from nodelayer.publish.layers.report import Failure, RunReport
from nodelayer.publish.runtimes.names import runtime_name
from nodelayer.util import parallel
from nodelayer.util.parallel import Stop

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,126})?[a-z0-9]", re.ASCII)
T = TypeVar("T")
S = TypeVar("S")


def runtimes_meant(node: str) -> tuple[str, ...]:
    """Return the names of the runtimes of the Node.js versions that specs mean, separated by commas.

    Raises:
        InvalidInputError: A spec is not valid.
        NotFoundError: No release matches.
    """
    releases = [Release(each, lts_codename(each, date), date) for each, date in release_dates().items()]
    versions = (exact(spec) or resolve(spec, releases).version for spec in split(node))
    return tuple(dict.fromkeys(runtime_name(each) for each in versions))


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names of runtimes that a flag lists, without duplicates.

    Raises:
        InvalidInputError: One is not a name that Lambda allows.
    """
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for name in names or ("",):
        if not _NAME.fullmatch(name):
            raise InvalidInputError(
                f"{name!r} is not the name of a runtime", where="--runtime", todo="write it as nodejs-24"
            )
    return names


def why_skipped(selection: Selection, region: str, error: NodelayerError) -> str:
    """Return why a region is skipped that fails with this error; empty if that is a failure."""
    if selection.named:
        return ""
    if isinstance(error, NotEnabledError) and not selection.certain:
        return "not enabled in this account"
    if isinstance(error, NoApiError) or (isinstance(error, NoEndpointError) and region in selection.unsure):
        return "Lambda has no customer-managed runtimes there yet"
    return ""


def ask(
    account: Account,
    selection: Selection,
    names: Sequence[str],
    question: Callable[[Region], list[T | Failure] | None],
    report: RunReport,
) -> dict[str, list[T]]:
    """Return the answer of each region that has one of the runtimes; None means that it has none.

    Failures go to the report. A region without the API is skipped, unless the user named it.
    """
    answers: dict[str, list[T]] = {}
    skipped: dict[str, list[str]] = {}
    for region, found in parallel.each(selection.regions, lambda name: question(account.region(name))):
        if isinstance(found, NodelayerError) and (why := why_skipped(selection, region, found)):
            skipped.setdefault(why, []).append(region)
        elif isinstance(found, NodelayerError):
            report.fail(Failure(region, "", found))
        elif found is not None:
            answers[region] = []
            for each in found:
                if isinstance(each, Failure):
                    report.fail(each)
                else:
                    answers[region].append(each)
        elif selection.named:
            report.fail(Failure(region, "", _missing(names, region)))
    for why, regions in skipped.items():
        report.reporter.say(f"{', '.join(sorted(regions))} skipped: {why}")
    if not answers and not report.failures:
        report.fail(Failure("", "", _missing(names)))
    return dict(sorted(answers.items()))


def _missing(names: Sequence[str], region: str = "") -> NotFoundError:
    return NotFoundError(
        f"the account has no runtime {' or '.join(names)}" + ("" if region else " in these regions"),
        where=region,
        todo="correct --runtime and --regions, or publish it with publish-runtime",
    )


def carry_out(
    account: Account,
    steps: Mapping[str, Sequence[S]],
    work: Callable[[Region, S], None],
    describe: Callable[[S], str],
    report: RunReport,
) -> list[tuple[str, S]]:
    """Work on the steps of each region, one after another, and return those that are done.

    A failure of a step goes to the report, and the next step follows. On Ctrl-C or SIGTERM, the steps that
    have begun are finished.
    """
    stop = Stop()
    done: list[tuple[str, S]] = []

    def act(region: str) -> list[S | Failure]:
        ended: list[S | Failure] = []
        for step in steps[region]:
            try:
                stop.check()
                work(account.region(region), step)
                ended.append(step)
            except NodelayerError as error:
                ended.append(Failure(region, describe(step), error))
        return ended

    with stop.on_signals(lambda: report.reporter.warn("stopping when the running calls to AWS have ended")):
        for region, ended in parallel.each(sorted(steps), act):
            for each in [Failure(region, "", ended)] if isinstance(ended, NodelayerError) else ended:
                if isinstance(each, Failure):
                    report.fail(each)
                else:
                    done.append((region, each))
    return sorted(done, key=lambda each: each[0])


def check_account(known: Manifest, account: Account) -> None:
    """Raise RefusedError if the manifest records runtimes of another account in the partition."""
    for arn in map(RuntimeVersionArn.parse, known.runtimes):
        if arn.partition == account.partition.name and arn.account != account.id:
            raise RefusedError(
                f"the manifest records {arn}, which is not in account {account.id}",
                todo="use a profile of that account, or a manifest of this account (--manifest)",
            )


def recorded(known: Manifest, names: Iterable[str] | None = None) -> dict[str, set[str]]:
    """Return the names of the runtimes that the manifest records in each region; `names` are the wanted ones.

    Raises:
        NotFoundError: It records none of the wanted runtimes.
    """
    wanted = None if names is None else set(names)
    found: dict[str, set[str]] = {}
    for arn in map(RuntimeVersionArn.parse, known.runtimes):
        if wanted is None or arn.name in wanted:
            found.setdefault(arn.region, set()).add(arn.name)
    if not found:
        what = ", ".join(sorted(wanted)) if wanted else "runtime"
        raise NotFoundError(
            f"the manifest has no {what}", todo="publish one first, or use another --manifest"
        )
    return found
