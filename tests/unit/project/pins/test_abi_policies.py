"""The script that derives a policy: from a folder, a tar and an image of the same system."""

import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path

import docker
import pytest
from support import ROOT

from nodelayer import architecture
from nodelayer.layer import abi, elf, system_library

SCRIPT = ROOT / "nodelayer" / "project" / "pins" / "abi_policies.py"
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


@pytest.fixture
def images(root):
    """An image of the host's libraries that says it is Amazon Linux, and one that says it is not."""
    client = docker.from_env()
    made = []
    for name, system in (("amazon", "amzn"), ("debian", "debian")):
        with tempfile.TemporaryFile() as spool:
            with tarfile.open(fileobj=spool, mode="w") as archive:
                archive.add(
                    root, arcname=".", filter=lambda each: None if "os-release" in each.name else each
                )
                text = f"ID={system}\nPRETTY_NAME={name}\n".encode()
                info = tarfile.TarInfo("./etc/os-release")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
            spool.seek(0)
            tag = uuid.uuid4().hex
            client.api.import_image_from_data(spool.read(), repository=f"nodelayer-{name}", tag=tag)
            made.append(f"nodelayer-{name}:{tag}")
    yield made
    for image in made:
        client.images.remove(image)
    client.close()


def told_to_refresh(folder, name, image, **changes):
    """A policy in a folder that names an image to refresh it from."""
    host = architecture.of_host().name
    policy = {
        "runtime": "provided.al2023",
        "architecture": host,
        "provenance": {
            "method": "records",
            "sources": ["s"],
            "checked_on_image": False,
            "notes": ["n"],
            "refresh": f"python -m nodelayer.project.pins.abi_policies --image {image} "
            "--runtime provided.al2023 --write",
        },
        "libraries": {"libc.so.6": ["GLIBC_9.99"]},
        **changes,
    }
    (folder / f"{name}.json").write_text(json.dumps(policy))


@pytest.mark.docker
def test_every_policy_is_refreshed_from_its_image_and_one_that_cannot_be_stops_no_other(
    script, images, capsys, tmp_path, monkeypatch
):
    amazon, debian = images
    monkeypatch.setattr(script, "BUNDLED", tmp_path)
    told_to_refresh(tmp_path, "a", debian)
    told_to_refresh(tmp_path, "b", amazon)
    told_to_refresh(tmp_path, "c", "localhost:1/none:none")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert script.main(["--all", "--compare"]) == 5
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    told = capsys.readouterr()
    assert "b - libc.so.6: GLIBC_9.99\n" in told.out
    assert "b ~ checked on the image\n" in told.out
    lines = told.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"that is no Amazon Linux [{debian} ")
    assert lines[1].startswith("the image cannot be had ")

    assert script.main(["--all", "--write"]) == 5
    written = abi.Policy.model_validate_json((tmp_path / "b.json").read_bytes())
    assert written.provenance.checked_on_image
    assert f"--image {amazon} " in written.provenance.refresh
    assert [(tmp_path / f"{name}.json").read_text() for name in "ac"] == [before["a.json"], before["c.json"]]

    for name in "ac":
        (tmp_path / f"{name}.json").unlink()
    kept = (tmp_path / "b.json").read_bytes().replace(amazon.encode() + b" (", b"an older digest (")
    (tmp_path / "b.json").write_bytes(kept)
    capsys.readouterr()
    assert script.main(["--all", "--compare"]) == 0
    assert script.main(["--all", "--write"]) == 0
    assert (tmp_path / "b.json").read_bytes() == kept
    assert capsys.readouterr().out == "b says what is there\n" * 2


@pytest.mark.parametrize(
    "line", [["--all"], ["--all", "--write", "--runtime=provided"], ["--image=x", "--runtime=provided"]]
)
def test_flags_that_do_not_go_together_are_told(script, capsys, line):
    with pytest.raises(SystemExit) as caught:
        script.main(line)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_every_bundled_policy_names_the_image_it_is_refreshed_from():
    for policy in abi.load_policies():
        words = policy.provenance.refresh.split()
        assert words[words.index("--image") + 1].startswith("public.ecr.aws/lambda/provided:")
