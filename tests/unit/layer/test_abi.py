from dataclasses import replace

import msgspec
import pytest

from nodelayer.architecture import ARM64, X86_64
from nodelayer.errors import IncompatibleError
from nodelayer.layer import abi, elf, system_library
from nodelayer.layer.elf import Elf, SymbolVersion

NODE = "nodejs/bin/node"
POLICIES = abi.load_policies()

# Node.js 12.16.1 on x86_64, as readelf shows it: the newest node of each library and one import of each.
NODE_12 = Elf(
    machine="EM_X86_64",
    soname=None,
    interpreter="/lib64/ld-linux-x86-64.so.2",
    libraries=("libdl.so.2", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libc.so.6"),
    requires=(
        SymbolVersion("libgcc_s.so.1", "GCC_3.4", ("__popcountdi2",), weak=False),
        SymbolVersion("libstdc++.so.6", "GLIBCXX_3.4.18", ("_ZNSt13random_device7_M_initERKSs",), weak=False),
        SymbolVersion("libc.so.6", "GLIBC_2.17", ("clock_gettime",), weak=False),
    ),
    provides=frozenset(),
    build_id=None,
)
NODE_24 = replace(
    NODE_12,
    requires=(
        *NODE_12.requires,
        SymbolVersion("libm.so.6", "GLIBC_2.27", ("expf", "powf"), weak=False),
        SymbolVersion("libc.so.6", "GLIBC_2.9", ("pipe2",), weak=False),
        SymbolVersion("libc.so.6", "GLIBC_2.25", ("getentropy",), weak=False),
        SymbolVersion("libc.so.6", "GLIBC_2.28", ("fcntl64",), weak=False),
    ),
)
NODE_26 = replace(
    NODE_24,
    libraries=("libatomic.so.1", *NODE_24.libraries),
    requires=(
        SymbolVersion("libatomic.so.1", "LIBATOMIC_1.0", ("__atomic_load",), weak=False),
        *NODE_24.requires,
    ),
)
LIBATOMIC = Elf(
    machine="EM_X86_64",
    soname="libatomic.so.1",
    interpreter=None,
    libraries=("libc.so.6",),
    requires=(SymbolVersion("libc.so.6", "GLIBC_2.14", ("memcpy",), weak=False),),
    provides=frozenset({"LIBATOMIC_1.0", "LIBATOMIC_1.1", "LIBATOMIC_1.2"}),
    build_id=None,
)


def arm64(of):
    """The same needs with glibc's names on arm64, where everything up to 2.17 is one node."""
    return replace(of, machine="EM_AARCH64", interpreter="/lib/ld-linux-aarch64.so.1")


def check(files, architecture=X86_64, **options):
    return abi.check(files, architecture, policies=POLICIES, **options)


class TestPolicies:
    def test_each_runtime_and_architecture_has_one_policy_oldest_first(self):
        assert [(each.runtime, each.architecture) for each in POLICIES] == [
            ("provided", "x86_64"),
            ("provided.al2", "x86_64"),
            ("provided.al2", "arm64"),
            ("provided.al2023", "x86_64"),
            ("provided.al2023", "arm64"),
        ]

    @pytest.mark.parametrize("policy", POLICIES, ids=lambda each: f"{each.runtime}-{each.architecture}")
    def test_each_policy_names_its_source_and_how_to_refresh_it(self, policy):
        assert policy.provenance.method
        assert policy.provenance.sources
        assert policy.provenance.refresh == "invoke project.refresh --only abi"

    @pytest.mark.parametrize(
        ("runtime", "architecture", "newest", "missing"),
        [
            ("provided", "x86_64", "GLIBC_2.17", "GLIBC_2.18"),
            ("provided.al2", "x86_64", "GLIBC_2.26", "GLIBC_2.27"),
            ("provided.al2", "arm64", "GLIBC_2.26", "GLIBC_2.27"),
            ("provided.al2023", "x86_64", "GLIBC_2.34", "GLIBC_2.35"),
            ("provided.al2023", "arm64", "GLIBC_2.34", "GLIBC_2.35"),
        ],
    )
    def test_each_policy_ends_at_the_glibc_version_of_its_runtime(
        self, runtime, architecture, newest, missing
    ):
        libc = self.policy(runtime, architecture).libraries["libc.so.6"]
        assert newest in libc
        assert missing not in libc

    def test_no_policy_offers_libatomic_or_private_glibc_symbols(self):
        for policy in POLICIES:
            assert "libatomic.so.1" not in policy.libraries
            nodes = set().union(*policy.libraries.values())
            assert not nodes & {"GLIBC_PRIVATE", "GLIBC_ABI_DT_RELR"}

    def test_each_policy_file_has_the_format_of_the_refresh(self):
        folder = abi.resources("nodelayer.layer") / "policies"
        for policy in POLICIES:
            file = folder / f"{policy.runtime}-{policy.architecture}.json"
            assert file.read_text() == abi.dump(policy)

    @staticmethod
    def policy(runtime, architecture):
        (found,) = [each for each in POLICIES if (each.runtime, each.architecture) == (runtime, architecture)]
        return found


class TestCheck:
    def test_node_12_starts_on_every_runtime(self):
        verdict = check({NODE: NODE_12})
        assert verdict.compatible == ("provided", "provided.al2", "provided.al2023")
        assert verdict.problems == ()

    def test_node_24_starts_only_on_the_newest_runtime_and_problems_name_the_symbols(self):
        verdict = check({NODE: NODE_24})
        assert verdict.compatible == ("provided.al2023",)
        problems = [
            (each.library, each.version, each.symbols)
            for each in verdict.problems
            if each.runtime == "provided.al2"
        ]
        assert problems == [
            ("libc.so.6", "GLIBC_2.28", ("fcntl64",)),
            ("libm.so.6", "GLIBC_2.27", ("expf", "powf")),
        ]
        assert {each.file for each in verdict.problems} == {NODE}
        assert verdict.missing_libraries("provided.al2") == ()

    @pytest.mark.parametrize("architecture", [X86_64, ARM64], ids=str)
    def test_a_node_that_needs_glibc_2_34_starts_only_on_the_newest_runtime(self, architecture):
        need = SymbolVersion("libc.so.6", "GLIBC_2.34", ("__libc_start_main",), weak=False)
        node = replace(NODE_12, libraries=("libc.so.6",), requires=(need,))
        files = {NODE: node if architecture == X86_64 else arm64(node)}
        assert check(files, architecture).compatible == ("provided.al2023",)
        assert abi.choose_runtime(files, architecture).name == "provided.al2023"

    def test_node_26_lacks_only_libatomic_on_the_newest_runtime(self):
        verdict = check({NODE: NODE_26})
        assert verdict.compatible == ()
        (problem,) = [each for each in verdict.problems if each.runtime == "provided.al2023"]
        assert (problem.library, problem.version) == ("libatomic.so.1", None)
        assert problem.symbols == ("__atomic_load",)
        assert verdict.missing_libraries("provided.al2023") == ("libatomic.so.1",)

    def test_node_26_starts_if_the_layer_contains_libatomic(self):
        verdict = check({NODE: NODE_26, "lib/libatomic.so.1": LIBATOMIC})
        assert verdict.compatible == ("provided.al2023",)
        assert verdict.missing_libraries("provided.al2") == ()

    def test_an_added_library_must_be_compatible_too(self):
        too_new = replace(
            LIBATOMIC, requires=(SymbolVersion("libc.so.6", "GLIBC_ABI_DT_RELR", (), weak=False),)
        )
        verdict = check({NODE: NODE_26, "lib/libatomic.so.1": too_new})
        assert verdict.compatible == ()
        assert [
            (each.file, each.version) for each in verdict.problems if each.runtime == "provided.al2023"
        ] == [("lib/libatomic.so.1", "GLIBC_ABI_DT_RELR")]

    def test_an_added_library_must_define_the_needed_symbol_versions(self):
        old = replace(LIBATOMIC, provides=frozenset({"LIBATOMIC_0.9"}))
        verdict = check({NODE: NODE_26, "lib/libatomic.so.1": old}, runtimes=["provided.al2023"])
        (problem,) = verdict.problems
        assert (problem.library, problem.version) == ("libatomic.so.1", "LIBATOMIC_1.0")

    def test_library_outside_the_lib_folder_of_the_layer_is_ignored(self):
        verdict = check({NODE: NODE_26, "nodejs/lib/libatomic.so.1": LIBATOMIC})
        assert verdict.missing_libraries("provided.al2023") == ("libatomic.so.1",)

    def test_the_added_library_takes_precedence_over_the_system_s(self):
        bundled = Elf(
            "EM_X86_64", "libm.so.6", None, (), (), provides=frozenset({"GLIBC_2.27"}), build_id=None
        )
        with_it = check({NODE: NODE_24, "lib/libm.so.6": bundled}, runtimes=["provided.al2"])
        assert [each.library for each in with_it.problems] == ["libc.so.6"]

    def test_a_weak_need_does_not_prevent_the_start(self):
        weak = replace(
            NODE_12, requires=(SymbolVersion("libc.so.6", "GLIBC_2.99", ("some_day",), weak=True),)
        )
        assert "provided" in check({NODE: weak}).compatible

    def test_a_missing_interpreter_is_a_problem_that_no_layer_solves(self):
        musl = replace(
            NODE_12,
            interpreter="/lib/ld-musl-x86_64.so.1",
            libraries=("libc.musl-x86_64.so.1",),
            requires=(),
        )
        verdict = check({NODE: musl}, runtimes=["provided.al2023"])
        assert {each.library for each in verdict.problems} == {
            "/lib/ld-musl-x86_64.so.1",
            "libc.musl-x86_64.so.1",
        }
        assert verdict.missing_libraries("provided.al2023") == ("libc.musl-x86_64.so.1",)

    def test_arm64_has_no_runtime_provided(self):
        assert check({NODE: arm64(NODE_12)}, ARM64).compatible == ("provided.al2", "provided.al2023")

    def test_check_covers_only_the_given_runtimes(self):
        verdict = check({NODE: NODE_24}, runtimes=["provided.al2023", "provided.al2"])
        assert verdict.compatible == ("provided.al2023",)
        assert {each.runtime for each in verdict.problems} == {"provided.al2"}

    def test_a_file_of_another_architecture_is_refused(self):
        with pytest.raises(IncompatibleError, match="nodejs/bin/node is for EM_X86_64, not for arm64"):
            check({NODE: NODE_12}, ARM64)


class TestRefusal:
    def test_refusal_names_symbol_version_and_library(self):
        verdict = check({NODE: NODE_24}, runtimes=["provided.al2"])
        assert str(abi.refuse(verdict)) == (
            "the layer does not start on provided.al2: "
            "nodejs/bin/node needs GLIBC_2.28 (fcntl64) of libc.so.6; "
            "nodejs/bin/node needs GLIBC_2.27 (expf, powf) of libm.so.6: "
            "choose an older Node.js version"
        )
        assert abi.refuse(verdict).code == 6

    def test_a_missing_library_is_listed_to_be_added_to_the_layer(self):
        line = str(abi.refuse(check({NODE: NODE_26})))
        assert line == (
            "the layer does not start on provided.al2023 or provided.al2 or provided: "
            "nodejs/bin/node needs libatomic.so.1 (__atomic_load), which is missing: "
            "put libatomic.so.1 of that system into the layer's lib/"
        )

    def test_refusal_suggests_an_older_node_if_the_newest_runtime_is_too_old(self):
        new = replace(NODE_12, requires=(SymbolVersion("libc.so.6", "GLIBC_2.38", ("strlcpy",), weak=False),))
        assert str(abi.refuse(check({NODE: new}))).endswith("of libc.so.6: choose an older Node.js version")

    def test_refusal_with_many_problems_is_one_short_line(self):
        symbols = tuple(f"symbol_{number:03}" for number in range(200))
        libraries = ("libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1")
        many = replace(
            NODE_12,
            libraries=libraries,
            requires=tuple(SymbolVersion(each, "GLIBC_2.99", symbols, weak=False) for each in libraries),
        )
        line = str(abi.refuse(check({NODE: many})))
        assert "symbol_000, symbol_001, symbol_002, …" in line
        assert "; and 2 more" in line
        assert len(line) < 500


class TestRealLibraries:
    """Checks with the libraries of this host, on any distribution."""

    def test_policy_of_the_host_libraries_accepts_the_host_libraries(self):
        names = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2")
        found = {name: system_library.find(name, X86_64) for name in names}
        if None in found.values():
            pytest.skip("no C++ library for x86_64: apt-get install libstdc++6")
        read = {name: elf.read(path.read_bytes(), name=name) for name, path in found.items()}
        policy = abi.Policy(
            runtime="provided.al2023",
            architecture="x86_64",
            provenance=POLICIES[0].provenance,
            libraries={name: each.provides for name, each in read.items()},
        )
        files = {"nodejs/x": read["libstdc++.so.6"]}
        assert abi.check(files, X86_64, policies=[policy]).compatible == ("provided.al2023",)
        older = msgspec.structs.replace(
            policy, libraries={**policy.libraries, "libc.so.6": frozenset({"GLIBC_2.2.5"})}
        )
        assert abi.check(files, X86_64, policies=[older]).compatible == ()
