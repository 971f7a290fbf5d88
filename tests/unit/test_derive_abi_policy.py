"""The script that derives a policy: from a folder, a tar and an image of the same system."""

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support import ROOT

from nodelayer import abi, architecture, elf, system_library

SCRIPT = ROOT / "scripts" / "derive_abi_policy.py"
LIBRARIES = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("derive_abi_policy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["derive_abi_policy"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["derive_abi_policy"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root file system of this host's own libraries, laid out with links as distributions do."""
    host = architecture.of_host()
    folder = tmp_path_factory.mktemp("root")
    (folder / "usr" / "lib64").mkdir(parents=True)
    (folder / "lib64").symlink_to("usr/lib64")
    (folder / "etc").mkdir()
    (folder / "etc" / "os-release").write_text('ID="amzn"\nPRETTY_NAME="Amazon Linux made up"\n')
    for name in LIBRARIES:
        real = folder / "usr" / "lib64" / f"{name}.real"
        real.write_bytes(system_library.find(name, host).read_bytes())
        (folder / "usr" / "lib64" / name).symlink_to(f"/lib64/{name}.real")  # absolute, inside the tree
    return folder


def derive(script, *arguments, capsys):
    code = script.main(
        [*map(str, arguments), "--runtime=provided.al2023", f"--arch={architecture.of_host()}"]
    )
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_folder_gives_each_library_with_its_public_nodes(script, root, capsys):
    code, out, _ = derive(script, root, capsys=capsys)
    policy = abi.Policy.model_validate_json(out)
    assert code == 0
    assert set(policy.libraries) == set(LIBRARIES)
    libc = elf.read(system_library.find("libc.so.6", architecture.of_host()).read_bytes(), name="libc")
    assert policy.libraries["libc.so.6"] == libc.provides - {"GLIBC_PRIVATE"}
    assert policy.provenance.checked_on_image


def test_a_tar_gives_what_its_folder_gives(script, root, capsys, tmp_path):
    packed = tmp_path / "root.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(root, arcname=".")
    from_folder = json.loads(derive(script, root, capsys=capsys)[1])["libraries"]
    from_tar = json.loads(derive(script, packed, capsys=capsys)[1])["libraries"]
    assert from_tar == from_folder


def test_compare_names_what_differs_and_ends_with_one(script, root, capsys):
    code, out, _ = derive(script, root, "--compare", capsys=capsys)
    assert code == 1
    assert "- librt.so.1: the whole library" in out  # the made-up system has only four of them


def test_differences_are_told_by_library(script):
    bundled = {"a.so": frozenset({"A_1", "A_2"}), "gone.so": frozenset({"G_1"})}
    real = {"a.so": frozenset({"A_2", "A_3"}), "new.so": frozenset()}
    assert list(script.differences(bundled, real)) == [
        "- a.so: A_1",
        "+ a.so: A_3",
        "- gone.so: the whole library",
        "+ new.so: the whole library",
    ]
    assert list(script.differences(real, real)) == []


def test_a_link_never_leads_out_of_the_tree(script, root, capsys, tmp_path):
    tree = tmp_path / "root"
    (tree / "lib64").mkdir(parents=True)
    (tree / "lib64" / "libc.so.6").symlink_to(
        Path("../../../../../../..") / root / "lib64" / "libc.so.6.real"
    )
    code, _, err = derive(script, tree, capsys=capsys)
    assert code == 3
    assert "no C library" in err


@pytest.mark.parametrize(("content", "code"), [(None, 7), (b"no tar", 2)])
def test_what_is_no_root_file_system_is_one_line(script, capsys, tmp_path, content, code):
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    found, out, err = derive(script, path, capsys=capsys)
    assert (found, out) == (code, "")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.docker
def test_an_image_is_read_without_running_it(tmp_path):
    out = tmp_path / "policy.json"
    for arch in ("amd64", "arm64"):
        of = {"amd64": "x86_64", "arm64": "arm64"}[arch]
        line = [
            sys.executable,
            SCRIPT,
            "--image",
            f"nodelayer-standin:{arch}",
            "--runtime",
            "provided.al2023",
        ]
        subprocess.run([*line, "--arch", of, "--out", out], check=True, capture_output=True)
        policy = abi.Policy.model_validate_json(out.read_bytes())
        assert "GLIBC_2.36" in policy.libraries["libc.so.6"]  # Debian 12's own
        assert "libatomic.so.1" not in policy.libraries
        assert not policy.provenance.checked_on_image
