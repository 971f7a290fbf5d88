"""Which versions --node and --arch select, and which are refused."""

import pytest

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import IncompatibleError, NotFoundError, UnreachableError
from nodelayer.node.releases import choose, choose_one
from nodelayer.node.versions import Release, Spec


class Listing:
    """A source that lists releases by architecture, or cannot be reached."""

    name = "npm"

    def __init__(self, **versions):
        self.versions = versions

    def releases(self, architecture):
        if architecture.name not in self.versions:
            raise UnreachableError("away")
        return [Release(version) for version in self.versions[architecture.name]]


def test_an_exact_version_needs_no_list():
    assert choose_one(Spec("v12.16.1"), X86_64, Listing()) == "12.16.1"


def test_range_selects_the_newest_listed_version():
    source = Listing(x86_64=["12.16.0", "12.16.1", "13.0.0"])
    assert choose_one(Spec("12"), X86_64, source) == "12.16.1"


def test_range_selects_the_newest_version_that_all_architectures_have():
    source = Listing(x86_64=["12.16.0", "12.16.1"], arm64=["12.16.0"])
    chosen, failures = choose([Spec("12")], [X86_64, ARM64], source)
    assert (chosen, failures) == ([("12.16.0", X86_64), ("12.16.0", ARM64)], [])


def test_each_version_is_chosen_once_and_a_failure_does_not_stop_the_others():
    source = Listing(x86_64=["12.16.1"])
    chosen, failures = choose([Spec("12"), Spec("14"), Spec("12.16.1")], [X86_64], source)
    assert chosen == [("12.16.1", X86_64)]
    assert [type(failure) for failure in failures] == [NotFoundError]


def test_error_names_the_file_that_asks_for_a_missing_version():
    with pytest.raises(NotFoundError, match=r"\.nvmrc"):
        choose_one(Spec("14", ".nvmrc"), X86_64, Listing(x86_64=["12.16.1"]))


@pytest.mark.parametrize("spec", ["0.10.48", "11.15.0", "12.0.0-rc.1", "<12"])
def test_a_version_that_is_too_old_for_the_runtime_client_is_refused(spec):
    with pytest.raises(IncompatibleError, match=r"too old for the runtime client: use 12\.0\.0 or later"):
        choose_one(Spec(spec), X86_64, Listing(x86_64=["11.15.0", "12.16.1"]))
    assert choose_one(Spec("12.0.0"), X86_64, Listing()) == "12.0.0"
