"""Each handler through AWS's clients and through ours: what differs is meant, or wrong."""

import json
import os
from pathlib import Path

import pytest
from runtime.cases import AWS_NODE, CASES

from runtime import comparison, intended_differences

pytestmark = pytest.mark.network

RECORDED = Path(__file__).with_name("outcomes.json")
RECORDING = bool(os.environ.get("NODELAYER_RECORD_OUTCOMES"))

ATTEMPTS = 3


@pytest.fixture(scope="session")
def recorded():
    """What ours does where it differs as meant, by case and by Node.js version."""
    known = json.loads(RECORDED.read_bytes()) if RECORDED.exists() else {}
    told = {
        (name, node): entry["outcome"]
        for name, entries in known.items()
        for entry in entries
        for node in entry["nodes"]
    }
    yield told
    if RECORDING:
        RECORDED.write_text(json.dumps(_grouped(told), indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def _grouped(told):
    grouped = {}
    for (name, node), outcome in sorted(told.items()):
        entries = grouped.setdefault(name, [])
        same = [entry for entry in entries if entry["outcome"] == outcome]
        if same:
            same[0]["nodes"].append(node)
        else:
            entries.append({"nodes": [node], "outcome": outcome})
    return grouped


@pytest.mark.parametrize(
    ("case", "node"),
    [pytest.param(case, node, id=f"{case.name} on {node}") for case in CASES for node in case.nodes],
)
def test_ours_behaves_as_aws_does_or_differs_as_meant(case, node, outcomes, recorded, table):
    for name, version in [("nodelayer", node)] + [(client, AWS_NODE[client]) for client in case.like]:
        if why_not := outcomes.why_not(name, version):
            pytest.skip(why_not)
    for attempt in range(ATTEMPTS):
        wrong, rows = compared(case, node, outcomes, recorded)
        if not wrong:
            break
        if attempt < ATTEMPTS - 1:
            for name, version in [("nodelayer", node)] + [(client, AWS_NODE[client]) for client in case.like]:
                outcomes.again(case, name, version)
    table += rows
    assert not wrong, "\n".join(wrong)


def compared(case, node, outcomes, recorded):
    """What is wrong in a case, a line each, and its rows of the table."""
    ours = dict(outcomes(case, "nodelayer", node))
    wrong = [f"no error type in {each}" for each in ours.pop("unnamed errors")]
    rows = []
    meant = False
    for client in case.like:
        theirs = outcomes(case, client, AWS_NODE[client])
        found = [] if ours == theirs else comparison.differing(ours, comparison.as_ours(theirs, client))
        why = intended_differences.reason(case.name, node, client)
        meant = meant or bool(why)
        kind = ("equal", "different", "no longer different", "different as meant")[
            bool(found) + 2 * bool(why)
        ]
        rows.append((case.name, node, client, kind, found))
        if kind == "different":
            wrong += [f"unlike {client}: {comparison.told(each)}" for each in found]
        elif kind == "no longer different":
            wrong.append(f"equal to {client} by now, so take it away from intended_differences.py: {why}")
    if meant and RECORDING:
        recorded[case.name, node] = ours
    elif meant:
        expected = recorded.get((case.name, node), "an outcome in outcomes.json")
        wrong += [
            f"unlike outcomes.json: {comparison.told(each)}" for each in comparison.differing(ours, expected)
        ]
    return wrong, rows


def test_every_intended_difference_belongs_to_a_case(recorded):
    names = {case.name for case in CASES}
    assert intended_differences.INTENDED.keys() - names == set()
    assert {name for name, _ in recorded} - intended_differences.INTENDED.keys() == set()
