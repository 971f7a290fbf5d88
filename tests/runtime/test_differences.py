"""Compare the runtime client with AWS's clients: every difference is intended, or a fault."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from runtime.cases import AWS_NODE, CASES

from runtime import comparison, intended_differences

pytestmark = pytest.mark.network

OURS_RECORDED = Path(__file__).with_name("outcomes.json")
AWS_RECORDED = Path(__file__).with_name("aws-outcomes.json")
RECORDING = bool(os.environ.get("NODELAYER_RECORD_OUTCOMES"))

ATTEMPTS = 3


@dataclass(frozen=True)
class Recorded:
    """Outcomes of our client by case and Node.js version, of AWS's by case and version of the client."""

    ours: dict
    aws: dict


@pytest.fixture(scope="session")
def recorded():
    known = Recorded(_read(OURS_RECORDED), _read(AWS_RECORDED))
    yield known
    if RECORDING:
        _write(OURS_RECORDED, known.ours)
        _write(AWS_RECORDED, known.aws)


def _read(file):
    known = json.loads(file.read_bytes()) if file.exists() else {}
    return {
        (name, version): entry["outcome"]
        for name, entries in known.items()
        for entry in entries
        for version in entry["versions"]
    }


def _write(file, outcomes):
    file.write_text(json.dumps(_grouped(outcomes), indent=1, sort_keys=True) + "\n")


def _grouped(outcomes):
    grouped = {}
    for (name, version), outcome in sorted(outcomes.items()):
        entries = grouped.setdefault(name, [])
        same = [entry for entry in entries if entry["outcome"] == outcome]
        if same:
            same[0]["versions"].append(version)
        else:
            entries.append({"versions": [version], "outcome": outcome})
    return grouped


def _without_timing(outcome):
    """AWS's client asks for the next invocation too early, or not, depending on how busy the machine is."""
    return {name: value for name, value in outcome.items() if name != "asked too early"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("case", "client"),
    [pytest.param(case, client, id=f"{case.name} {client}") for case in CASES for client in case.like],
)
def test_recorded_outcome_equals_the_outcome_of_aws(case, client, outcomes, recorded):
    node = AWS_NODE[client]
    if why_not := outcomes.why_not(client, node):
        pytest.skip(why_not)
    if RECORDING:
        recorded.aws[case.name, client] = outcomes(case, client, node)
    expected = _without_timing(recorded.aws.get((case.name, client), {}))
    for _ in range(ATTEMPTS):
        wrong = comparison.differing(_without_timing(outcomes(case, client, node)), expected)
        if not wrong:
            break
        outcomes.rerun(case, client, node)
    assert not wrong, "\n".join(map(comparison.format_difference, wrong))


@pytest.mark.parametrize(
    ("case", "node"),
    [pytest.param(case, node, id=f"{case.name} on {node}") for case in CASES for node in case.nodes],
)
def test_client_behaves_like_aws_or_differs_as_intended(case, node, outcomes, recorded, table):
    if why_not := outcomes.why_not("nodelayer", node):
        pytest.skip(why_not)
    for attempt in range(ATTEMPTS):
        wrong, rows = compared(case, node, outcomes, recorded)
        if not wrong:
            break
        if attempt < ATTEMPTS - 1:
            outcomes.rerun(case, "nodelayer", node)
    table += rows
    assert not wrong, "\n".join(wrong)


def compared(case, node, outcomes, recorded):
    """Return the faults of a case, one a line, and its rows of the table."""
    ours = dict(outcomes(case, "nodelayer", node))
    wrong = [f"no error type in {each}" for each in ours.pop("unnamed errors")]
    rows = []
    is_intended = False
    for client in case.like:
        theirs = recorded.aws[case.name, client]
        found = [] if ours == theirs else comparison.differing(ours, comparison.as_ours(theirs, client))
        why = intended_differences.reason(case.name, node, client)
        is_intended = is_intended or bool(why)
        kind = ("equal", "different", "no longer different", "different as intended")[
            bool(found) + 2 * bool(why)
        ]
        rows.append((case.name, node, client, kind, found))
        if kind == "different":
            wrong += [f"unlike {client}: {comparison.format_difference(each)}" for each in found]
        elif kind == "no longer different":
            wrong.append(f"equal to {client} by now, so remove it from intended_differences.py: {why}")
    if is_intended and RECORDING:
        recorded.ours[case.name, node] = ours
    elif is_intended:
        expected = recorded.ours.get((case.name, node), "an outcome in outcomes.json")
        wrong += [
            f"unlike outcomes.json: {comparison.format_difference(each)}"
            for each in comparison.differing(ours, expected)
        ]
    return wrong, rows


def test_every_intended_difference_and_recorded_outcome_belongs_to_a_case(recorded):
    names = {case.name for case in CASES}
    assert intended_differences.INTENDED.keys() - names == set()
    assert {name for name, _ in recorded.ours} - intended_differences.INTENDED.keys() == set()
    assert recorded.aws.keys() == {(case.name, client) for case in CASES for client in case.like}
