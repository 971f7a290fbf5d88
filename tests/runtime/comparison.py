"""Compare outcomes, with the differences that are intended in every case."""

import copy
import re

from runtime.cases import RIC3, RIC4

_LABELS = {"Invoke Error \t", "Init Error \t", "Uncaught Exception \t", "Unhandled Promise Rejection \t"}
_NATIVE = re.compile(r"^\[ERROR\] \[\d+\] LAMBDA_RUNTIME ")


def as_ours(theirs, version):
    """Apply the differences intended in every case to an outcome of AWS's client. Each rule says why."""
    outcome = copy.deepcopy(theirs)
    for rule in RULES:
        rule(outcome, version)
    return outcome


def _lines_of_the_native_addon(outcome, _):
    """AWS's native addon writes its own lines when the API refuses; ours logs it."""
    outcome["log"] = [line for line in outcome["log"] if not (isinstance(line, str) and _NATIVE.match(line))]


def _label_of_init_errors(outcome, version):
    """3.3.0 labels every failure at init an uncaught exception; ours and 4.0.2 an init error."""
    if version == RIC3 and "init error" in outcome and "asked too early" not in outcome:
        for line in _labelled(outcome):
            if line[2] == "Uncaught Exception \t":
                line[2] = "Init Error \t"


def _exit_after_init_errors(outcome, version):
    """4.0.2 lets Node.js print the error once more and end with 1; ours ends as 3.3.0 does, with 129."""
    if version == RIC4 and "init error" in outcome and outcome["end"] == "exit 1":
        outcome["end"] = "exit 129"
        outcome.pop("stderr", None)


def _name_in_the_log(outcome, version):
    """Errors of 4.0.2 itself have their name as an own property, so its log shows it twice."""
    if version == RIC4:
        for line in _labelled(outcome):
            if line[3].get("name") == line[3].get("errorType") and str(line[3].get("name")).startswith(
                "Runtime."
            ):
                del line[3]["name"]


def _logs_of_non_errors(outcome, _):
    """AWS logs a thrown string as an Error with frames of its client; ours logs what it reports."""
    reported = [answer["error"] for answers in outcome["answers"] for answer in answers if "error" in answer]
    plain = [error for error in [*reported, *outcome.get("init error", [])] if _is_plain(error)]
    for line in _labelled(outcome):
        for error in plain:
            if line[3].get("errorMessage") == error["errorMessage"] and line[3].get("errorType") == "Error":
                line[3] = {
                    "errorType": error["errorType"],
                    "errorMessage": error["errorMessage"],
                    "stack": [],
                }


def _is_plain(error):
    return error.get("trace") == [] and error.get("errorType") in {
        "string", "number", "boolean", "undefined", "object", "symbol", "bigint", "function"
    }  # fmt: skip


def _labelled(outcome):
    return [
        line for line in outcome["log"] if isinstance(line, list) and len(line) == 4 and line[2] in _LABELS
    ]


RULES = (
    _lines_of_the_native_addon,
    _label_of_init_errors,
    _exit_after_init_errors,
    _name_in_the_log,
    _logs_of_non_errors,
)


def differing(one, other, at=""):
    """Return the differences of two outcomes as (path, ours, theirs)."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in sorted(one.keys() | other.keys()):
            found += differing(one.get(key, ABSENT), other.get(key, ABSENT), f"{at}.{key}" if at else key)
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            each
            for index, pair in enumerate(zip(one, other, strict=True))
            for each in differing(*pair, f"{at}[{index}]")
        ]
    return [] if type(one) is type(other) and one == other else [(at, one, other)]


class _Absent:
    def __repr__(self):
        return "absent"


ABSENT = _Absent()


def format_difference(difference):
    """Format a difference as one line."""
    at, here, there = difference
    return f"{at} is {here!r}, not {there!r}"
