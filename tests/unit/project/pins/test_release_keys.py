"""Keys of Node.js's release team, from a checkout on a local server."""

import datetime as dt
import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pysequoia
import pytest
from support import ROOT

from nodelayer.errors import NotFoundError, NotVerifiedError, UnreachableError
from nodelayer.node.openpgp import ReleaseKeys
from nodelayer.project.pins import release_keys
from nodelayer.project.pins.pin import resource

FILE = release_keys.FILE


@pytest.fixture(scope="module")
def keys():
    """Three keys by fingerprint, oldest first."""
    secrets = [pysequoia.Tsk.generate(f"{number} <test@example.invalid>") for number in range(3)]
    made = [secret.extract_certificate() for secret in secrets]
    return {key.fingerprint.upper(): key for key in made}


def readme(active, retired):
    def lines(fingerprints):
        return "\n".join(
            f"* **Releaser** <<s@example.invalid>>\n  [`{each}`](./keys/{each}.asc)" for each in fingerprints
        )

    return f"""# Node.js Release Keys

<!-- Active releasers keys -->
{lines(active)}
<!-- /Active releasers keys -->

Other keys used to sign some previous releases:

<!-- Retired keys -->
{lines(retired)}
<!-- /Retired keys -->
"""


@pytest.fixture
def checkout(tmp_path, keys):
    """A checkout where the first key is retired and the others are active."""
    retired, *active = keys
    folder = tmp_path / "release-keys"
    (folder / "keys").mkdir(parents=True)
    (folder / "README.md").write_text(readme(active, [retired]))
    (folder / "keys.list").write_text("".join(f"{each}\n" for each in active))
    for fingerprint, key in keys.items():
        (folder / "keys" / f"{fingerprint}.asc").write_text(str(key))
    return folder


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def refresh(tmp_path, checkout, monkeypatch):
    """Compare bundled keys, by fingerprint with the date by which each was retired, with the checkout."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = tmp_path / FILE
    file.parent.mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=checkout)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def compare(known):
            bundled = [
                {"fingerprint": fingerprint, **({"retired": date} if date else {})}
                for fingerprint, date in known.items()
            ]
            file.write_text(json.dumps({"provenance": "p", "as_of": "2020-01-01", "keys": bundled}))
            return release_keys.refresh(tmp_path, repository=f"http://127.0.0.1:{server.server_port}")

        yield compare
        server.shutdown()
        thread.join()


def test_added_removed_and_retired_keys_are_listed_with_active_keys_first(refresh, keys):
    first, second, third = keys
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    changes = refresh({first: None, second: None, "F" * 40: "2019-09-12"})
    assert sorted(changes.lines) == sorted(
        [
            f"~ {first} active -> retired by {today}",
            f"+ {third} active",
            f"- {'F' * 40} retired by 2019-09-12",
        ]
    )
    written = msgspec.json.decode(changes.files[FILE], type=ReleaseKeys)
    assert [(key.fingerprint, key.retired) for key in written.keys] == [
        (second, None),
        (third, None),
        (first, today),
    ]


def test_refresh_changes_nothing_if_the_keys_are_the_same(refresh, keys):
    first, second, third = keys
    changes = refresh({first: "2020-09-20", second: None, third: None})
    assert (changes.lines, changes.files) == ([], {})


def test_bundled_file_has_the_format_that_refresh_writes():
    text = (ROOT / FILE).read_text()
    keys = json.loads(text)["keys"]
    assert resource(release_keys.PROVENANCE, "keys", keys).splitlines()[3:] == text.splitlines()[3:]


def test_new_key_with_a_fingerprint_that_is_not_listed_is_refused(refresh, checkout, keys):
    first, second, third = keys
    (checkout / "keys" / f"{first}.asc").write_text(str(keys[second]))
    with pytest.raises(NotVerifiedError, match="another fingerprint"):
        refresh({second: None, third: None})


def test_key_that_is_only_in_keys_list_is_refused(refresh, checkout, keys):
    (checkout / "keys.list").write_text("E" * 40)
    with pytest.raises(NotVerifiedError, match="E" * 40):
        refresh(dict.fromkeys(keys))


@pytest.mark.parametrize("comment", ["<!-- Active releasers keys -->", "<!-- /Retired keys -->"])
def test_a_readme_with_another_layout_is_refused(refresh, checkout, keys, comment):
    path = checkout / "README.md"
    path.write_text(path.read_text().replace(comment, ""))
    with pytest.raises(NotFoundError, match="no section of"):
        refresh(dict.fromkeys(keys))


def test_missing_file_or_unreachable_host_is_an_error(refresh, checkout, keys, tmp_path):
    (checkout / "keys.list").unlink()
    with pytest.raises(NotFoundError, match=r"answers 404 for keys\.list"):
        refresh(dict.fromkeys(keys))
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 cannot be reached"):
        release_keys.refresh(tmp_path, repository="http://127.0.0.1:9/release-keys")
