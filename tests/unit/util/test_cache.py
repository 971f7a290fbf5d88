"""The download cache: reads return what was written, also with several processes."""

import hashlib
import os
import subprocess
import sys
import threading
import time

import pytest
from support import find_program

from nodelayer.errors import MachineError
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

QUIET = Reporter(quiet=True)


@pytest.fixture
def cache(tmp_path):
    return DownloadCache(tmp_path / "cache")


def put(cache, data):
    with cache.workspace() as folder:
        (folder / "file").write_bytes(data)
        return cache.add(folder / "file")


def test_a_file_is_found_by_its_sha256(cache):
    sha256 = put(cache, b"data")
    assert sha256 == hashlib.sha256(b"data").hexdigest()
    assert cache.read(sha256, QUIET) == b"data"
    assert cache.read("0" * 64, QUIET) is None


def test_a_changed_file_in_the_cache_is_deleted_with_a_message(cache, capsys):
    sha256 = put(cache, b"data")
    cache.blob_path(sha256).write_bytes(b"date")
    assert cache.read(sha256, Reporter()) is None
    assert "damaged" in capsys.readouterr().err
    assert not cache.blob_path(sha256).exists()


def test_document_is_replaced(cache):
    assert cache.read_document("host/index.json") is None
    cache.write_document("host/index.json", b"one")
    cache.write_document("host/index.json", b"two")
    assert cache.read_document("host/index.json") == b"two"
    cache.drop_document("host/index.json")
    assert cache.read_document("host/index.json") is None


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../../evil", "a\0b", "..", "."])
def test_a_name_cannot_leave_the_cache_folder(cache, tmp_path, name):
    cache.write_document(name, b"x")
    assert cache.read_document(name) == b"x"
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and cache.root not in path.parents]
    assert outside == []
    with cache.lock(name, QUIET):
        pass
    assert not (tmp_path / "evil.lock").exists()


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "..", ".", "", "a/b", "documents/../../x"])
def test_a_partial_download_stays_inside_the_cache(cache, name):
    assert cache.partial(name).parent == cache.root / "partial"
    assert cache.partial(name) == cache.partial(name)


@pytest.mark.parametrize("name", ["../../../mine", "..", "", "/etc/hostname", "sha256/../../../../mine"])
def test_an_invalid_sha256_finds_nothing(cache, tmp_path, name):
    put(cache, b"data")
    (tmp_path / "mine").write_text("mine")
    before = sorted(path for path in tmp_path.rglob("*"))
    assert cache.read(name, QUIET) is None
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_document_is_read_completely_while_others_write_it(cache):
    texts = [bytes([letter]) * 50_000 for letter in b"abc"]
    cache.write_document("a/list.json", texts[0])
    done = threading.Event()

    def write(text):
        while not done.is_set():
            cache.write_document("a/list.json", text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    try:
        seen = {cache.read_document("a/list.json") for _ in range(500)}
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen <= set(texts)
    assert [path.name for path in (cache.root / "documents" / "a").iterdir()] == ["list.json"]


def test_an_existing_file_is_moved_into_the_cache_without_a_copy(cache):
    partial = cache.partial("node.tar.xz")
    partial.write_bytes(b"data")
    number = partial.stat().st_ino
    sha256 = cache.add(partial)
    assert not partial.exists()
    assert cache.blob_path(sha256).stat().st_ino == number


def test_a_workspace_is_removed_after_success_and_failure(cache):
    def fail():
        with cache.workspace() as folder:
            (folder / "file").write_text("x")
            seen.append(folder)
            raise InterruptedError

    seen = []
    with pytest.raises(InterruptedError):
        fail()
    assert not seen[0].exists()


def test_one_process_holds_the_lock_and_the_other_reports_that_it_waits(cache):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from nodelayer.util.cache import DownloadCache; from nodelayer.util.console import Reporter\n"
        "with DownloadCache(Path(sys.argv[1])).lock('download', Reporter()):\n"
        "    print('in', flush=True); sys.stdin.readline(); print('out', flush=True)\n"
    )
    line = [sys.executable, "-c", code, cache.root]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, **pipes) as first:
        assert first.stdout.readline() == "in\n"
        with subprocess.Popen(line, **pipes) as second:
            assert "waiting for it" in second.stderr.readline()
            assert second.poll() is None
            first.communicate("\n")
            assert second.stdout.readline() == "in\n"
            second.communicate("\n")
    assert (first.returncode, second.returncode) == (0, 0)


def test_the_lock_of_a_killed_process_is_free(cache):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from nodelayer.util.cache import DownloadCache; from nodelayer.util.console import Reporter\n"
        "with DownloadCache(Path(sys.argv[1])).lock('download', Reporter()):\n"
        "    print('in', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, cache.root], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
    with cache.lock("download", QUIET):
        pass


def test_clear_removes_only_downloads(cache):
    put(cache, b"12345")
    cache.write_document("a", b"123")
    (cache.root / "mine.txt").write_text("mine")
    assert cache.clear() >= 8
    assert [path.name for path in cache.root.iterdir()] == ["mine.txt"]
    assert DownloadCache(cache.root / "nowhere").clear() == 0


def test_a_cache_folder_that_cannot_be_created_is_one_line_with_advice(tmp_path):
    (tmp_path / "file").write_text("")
    cache = DownloadCache(tmp_path / "file" / "cache")
    with pytest.raises(MachineError, match="NODELAYER_CACHE_DIR") as caught:
        cache.write_document("a", b"")
    assert str(cache.root) in str(caught.value)


def test_reading_from_an_impossible_cache_folder_finds_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    cache = DownloadCache(tmp_path / "file")
    assert cache.read("0" * 64, QUIET) is None
    assert cache.read_document("a/b") is None
    assert cache.clear() == 0


def test_prune_removes_the_least_recently_used_files_and_keeps_those_of_today(cache):
    day = 24 * 3600
    ages = {
        "blobs/sha256/a": 3 * day,
        "programs/b/.whole": 4 * day,
        "partial/c": 2 * day,
        "tests/d": 0,
    }
    for name, age in ages.items():
        path = cache.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - age,) * 2)
    cache.prune(limit=300)
    assert {name for name in ages if (cache.root / name).exists()} == ages.keys() - {"programs/b/.whole"}
    cache.prune(limit=0)
    assert {name for name in ages if (cache.root / name).exists()} == {"tests/d"}


@pytest.fixture
def small(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("not root: only root can mount a small file system")
    find_program("mount", "mount")
    point = tmp_path / "small"
    point.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", point], check=False)
    if done.returncode:
        pytest.skip("no right to mount: run it as root, outside of an unprivileged container")
    yield point
    subprocess.run(["umount", point], check=True)


def test_write_fails_in_one_line_if_the_disk_is_full_and_leaves_no_document(small):
    cache = DownloadCache(small)
    with pytest.raises(MachineError, match="no disk space left for the download"):
        cache.write_document("large", bytes(200_000))
    assert cache.read_document("large") is None


def test_write_fails_in_one_line_if_the_disk_is_read_only(small):
    cache = DownloadCache(small)
    cache.write_document("a", b"x")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(MachineError, match="no permission to write the download cache"):
        cache.write_document("b", b"x")
    assert cache.read_document("a") == b"x"
