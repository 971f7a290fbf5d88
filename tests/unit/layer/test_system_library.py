import struct

import pytest

from nodelayer.architecture import ARM64, X86_64, of_host
from nodelayer.layer import elf, system_library


def host_library(soname):
    path = system_library.find(soname, of_host())
    if path is None:
        pytest.skip(f"no {soname}: apt-get install libstdc++6 libatomic1")
    return path.read_bytes()


def test_find_returns_the_library_of_this_machine_with_links_resolved():
    found = system_library.find("libc.so.6", of_host())
    assert found is not None
    assert found == found.resolve()
    assert elf.read(found.read_bytes(), name="it").machine == of_host().elf


def test_a_linker_script_or_a_library_of_another_architecture_is_skipped(tmp_path):
    other = ARM64 if of_host() == X86_64 else X86_64
    data = bytearray(host_library("libm.so.6"))
    struct.pack_into("<H", data, 18, 183 if other == ARM64 else 62)  # e_machine
    contents = {
        "usr/lib64": b"/* GNU ld script */",
        "lib64": bytes(data),
        "usr/lib": host_library("libm.so.6"),
    }
    for folder, content in contents.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "libm.so.6").write_bytes(content)
    assert system_library.find("libm.so.6", of_host(), root=tmp_path) == tmp_path / "usr/lib/libm.so.6"
    assert system_library.find("libm.so.6", other, root=tmp_path) == tmp_path / "lib64/libm.so.6"
    assert system_library.find("libnowhere.so.1", of_host(), root=tmp_path) is None
