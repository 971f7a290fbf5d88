"""ABI policies, derived from images with the libraries of this host."""

import io
import json
import tarfile
import tempfile
import uuid

import docker
import msgspec
import pytest
from support import ROOT

from nodelayer import architecture
from nodelayer.errors import NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.layer import abi, elf, system_library
from nodelayer.project.pins import abi_policies

LIBRARIES = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1")
HOST = architecture.of_host()


def packed(spool, system, libraries=LIBRARIES):
    """Write a root file system with this host's libraries and with links like a distribution."""
    with tarfile.open(fileobj=spool, mode="w") as archive:

        def add(name, data=None, link=""):
            info = tarfile.TarInfo(name)
            info.size = len(data or b"")
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info, io.BytesIO(data or b""))

        add("./etc/os-release", f'ID="{system}"\nPRETTY_NAME="{system}, made up"\n'.encode())
        add("./lib64", link="usr/lib64")
        for name in libraries:
            add(f"./usr/lib64/{name}.real", system_library.find(name, HOST).read_bytes())
            add(f"./usr/lib64/{name}", link=f"/lib64/{name}.real")  # absolute, inside the tree
        if not libraries:
            add("./usr/lib64/libc.so.6", link="../" * 9 + str(system_library.find("libc.so.6", HOST)))
    spool.seek(0)
    return spool


def tree(system="amzn", libraries=LIBRARIES):
    return abi_policies.Tree(tarfile.open(fileobj=packed(io.BytesIO(), system, libraries)))


def test_each_library_is_listed_with_its_public_nodes():
    policy = abi_policies.policy(tree(), "an image", "provided.al2023", HOST)
    assert set(policy.libraries) == set(LIBRARIES)
    libc = elf.read(system_library.find("libc.so.6", HOST).read_bytes(), name="libc")
    assert policy.libraries["libc.so.6"] == libc.provides - {"GLIBC_PRIVATE"}
    assert policy.provenance.sources == ("an image", "amzn, made up")


def test_link_out_of_the_tree_is_not_followed():
    with pytest.raises(NotFoundError, match="no C library"):
        abi_policies.policy(tree(libraries=()), "an image", "provided.al2023", HOST)


def test_image_of_another_system_than_amazon_linux_is_refused():
    with pytest.raises(NotVerifiedError, match="not Amazon Linux"):
        abi_policies.policy(tree("debian"), "an image", "provided.al2023", HOST)


def test_differences_are_listed_by_library(tmp_path):
    derived = abi_policies.policy(tree(), "an image", "provided.al2023", HOST)
    bundled = dict(derived.libraries)
    del bundled["libm.so.6"]
    bundled["gone.so"] = frozenset({"G_1"})
    bundled["libgcc_s.so.1"] = frozenset({"A_1"})
    file = tmp_path / "policy.json"
    file.write_text(abi.dump(msgspec.structs.replace(derived, libraries=bundled)))
    lines = abi_policies._differences(file, derived)
    assert lines[:2] == ["- gone.so: the whole library", "- libgcc_s.so.1: A_1"]
    assert lines[2].startswith("+ libgcc_s.so.1: GCC_")
    assert lines[3:] == ["+ libm.so.6: the whole library"]
    file.write_text(abi.dump(derived))
    assert abi_policies._differences(file, derived) == []


@pytest.fixture
def images():
    """An image of the host's libraries that says it is Amazon Linux, and one that says it is not."""
    client = docker.from_env()
    made = []
    for system in ("amzn", "debian"):
        with tempfile.TemporaryFile() as spool:
            tag = uuid.uuid4().hex
            client.api.import_image_from_data(
                packed(spool, system).read(), repository=f"nodelayer-{system}", tag=tag
            )
            made.append(f"nodelayer-{system}:{tag}")
    yield made
    for image in made:
        client.images.remove(image)
    client.close()


@pytest.mark.full
@pytest.mark.docker
def test_every_policy_is_derived_from_its_image_and_a_failure_does_not_stop_the_others(
    images, tmp_path, monkeypatch
):
    amazon, debian = images
    monkeypatch.setattr(architecture, "ALL", (HOST,))
    (tmp_path / abi_policies.FOLDER).mkdir(parents=True)
    sources = {
        "provided": debian,
        "provided.al2": "localhost:1/none:none",
        "provided.al2023": amazon,
    }
    changes = abi_policies.refresh(tmp_path, images=sources)
    assert [type(failure) for failure in changes.failures] == [NotVerifiedError, UnreachableError]
    assert changes.lines == [f"provided.al2023-{HOST} + a new policy"]
    ((path, text),) = changes.files.items()
    assert msgspec.json.decode(text, type=abi.Policy).provenance.checked_on_image

    unchecked = json.loads(text)
    unchecked["provenance"]["checked_on_image"] = False
    (tmp_path / path).write_text(json.dumps(unchecked))
    changes = abi_policies.refresh(tmp_path, images={"provided.al2023": amazon})
    assert changes.lines == [f"provided.al2023-{HOST} ~ checked on the image"]

    (tmp_path / path).write_text(text.replace(f"{amazon} (", "an older digest ("))
    assert not abi_policies.refresh(tmp_path, images={"provided.al2023": amazon}).files


def test_every_bundled_policy_is_refreshed():
    bundled = {path.name for path in (ROOT / abi_policies.FOLDER).iterdir() if path.suffix == ".json"}
    assert bundled == {
        f"{runtime}-{of}.json"
        for runtime in abi_policies.IMAGES
        for of in architecture.ALL
        if of == architecture.X86_64 or runtime not in abi_policies.ONLY_X86_64
    }
    assert tuple(abi_policies.IMAGES) == abi.RUNTIMES
