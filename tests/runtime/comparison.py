"""What of an outcome has to be equal, and what is meant to differ everywhere."""

import copy
import re

from runtime.cases import RIC3, RIC4

_LABELS = {"Invoke Error \t", "Init Error \t", "Uncaught Exception \t", "Unhandled Promise Rejection \t"}
_NATIVE = re.compile(r"^\[ERROR\] \[\d+\] LAMBDA_RUNTIME ")


def as_ours(theirs, version):
    """An outcome of AWS's client, changed by what is meant to differ in every case. Each rule says why."""
    told = copy.deepcopy(theirs)
    for rule in RULES:
        rule(told, version)
    return told


def _own_lines_of_the_native_part(told, _):
    """What AWS's native part writes when the API refuses: ours says it in a line of the log."""
    told["log"] = [line for line in told["log"] if not (isinstance(line, str) and _NATIVE.match(line))]


def _label_of_init_errors(told, version):
    """3.3.0 calls all that fails while loading an uncaught exception; ours, as 4.0.2, an init error."""
    if version == RIC3 and "init error" in told and "asked too early" not in told:
        for line in _labelled(told):
            if line[2] == "Uncaught Exception \t":
                line[2] = "Init Error \t"


def _exit_after_init_errors(told, version):
    """4.0.2 lets Node.js print the error once more and end with 1; ours ends as 3.3.0 does, with 129."""
    if version == RIC4 and "init error" in told and told["end"] == "exit 1":
        told["end"] = "exit 129"
        told.pop("stderr", None)


def _name_in_the_log(told, version):
    """The errors of 4.0.2 itself carry their name as an own property, so its log shows it twice."""
    if version == RIC4:
        for line in _labelled(told):
            if line[3].get("name") == line[3].get("errorType") and str(line[3].get("name")).startswith(
                "Runtime."
            ):
                del line[3]["name"]


def _logs_of_what_is_no_error(told, _):
    """AWS logs a thrown text as an Error with a stack of its own frames; ours logs what it reports."""
    reported = [answer["error"] for answers in told["answers"] for answer in answers if "error" in answer]
    plain = [error for error in [*reported, *told.get("init error", [])] if _is_plain(error)]
    for line in _labelled(told):
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


def _labelled(told):
    return [line for line in told["log"] if isinstance(line, list) and len(line) == 4 and line[2] in _LABELS]


RULES = (
    _own_lines_of_the_native_part,
    _label_of_init_errors,
    _exit_after_init_errors,
    _name_in_the_log,
    _logs_of_what_is_no_error,
)


def differing(one, other, at=""):
    """Where two outcomes differ: (place, here, there), as deep as both are of one kind."""
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


def told(difference):
    """A difference in one line."""
    at, here, there = difference
    return f"{at} is {here!r}, not {there!r}"
