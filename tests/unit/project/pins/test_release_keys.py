"""The script that keeps the pinned keys those of nodejs/release-keys."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pysequoia
import pytest

from nodelayer.errors import InvalidInputError, NodelayerError, NotFoundError, NotVerifiedError
from nodelayer.node.openpgp import ReleaseKeys

SCRIPT = Path(__file__).resolve().parents[4] / "nodelayer" / "project" / "pins" / "release_keys.py"


@pytest.fixture(scope="module")
def refresh():
    spec = importlib.util.spec_from_file_location("refresh_release_keys", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def keys():
    """Three keys by fingerprint, oldest first."""
    secrets = [pysequoia.Tsk.generate(f"{number} <test@example.invalid>") for number in range(3)]
    made = [secret.extract_certificate() for secret in secrets]
    return {key.fingerprint.upper(): key for key in made}


def readme(active, retired):
    def lines(fingerprints):
        return "\n".join(
            f"* **Somebody** <<s@example.invalid>>\n  [`{each}`](./keys/{each}.asc)" for each in fingerprints
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


@pytest.fixture
def resource(tmp_path):
    return tmp_path / "release_keys.json"


def test_what_is_written_is_what_the_repository_lists_active_ones_first(refresh, checkout, resource, keys):
    retired, *active = keys
    assert refresh.run(["--write", "--from", str(checkout)], resource=resource) == 0
    written = ReleaseKeys.model_validate_json(resource.read_bytes())
    assert [(key.fingerprint, key.status) for key in written.keys] == [
        *((each, "active") for each in active),
        (retired, "retired"),
    ]


def test_the_bundled_list_was_written_in_that_form(refresh):
    bundled = ReleaseKeys.model_validate_json(refresh.BUNDLED.read_bytes())
    lines = refresh.rendered(bundled.keys, refresh.dt.date.fromisoformat(bundled.as_of)).splitlines()
    assert lines[2:] == refresh.BUNDLED.read_text().splitlines()[2:]


def test_comparing_says_nothing_differs_after_writing_and_writes_nothing(refresh, checkout, resource, capsys):
    refresh.run(["--write", "--from", str(checkout)], resource=resource)
    before = resource.read_bytes()
    capsys.readouterr()
    assert refresh.run(["--compare", "--from", str(checkout)], resource=resource) == 0
    assert "are those of" in capsys.readouterr().out
    assert resource.read_bytes() == before


def test_where_nothing_differs_not_even_the_day_is_written(refresh, checkout, resource):
    refresh.run(["--write", "--from", str(checkout)], resource=resource)
    old = {**json.loads(resource.read_bytes()), "as_of": "2020-01-01"}
    resource.write_text(json.dumps(old))
    assert refresh.run(["--write", "--from", str(checkout)], resource=resource) == 0
    assert json.loads(resource.read_bytes()) == old


def test_comparing_names_each_key_that_came_went_or_retired(refresh, checkout, resource, keys, capsys):
    first, second, third = keys
    refresh.run(["--write", "--from", str(checkout)], resource=resource)
    data = json.loads(resource.read_bytes())
    data["keys"] = [
        {"fingerprint": first, "status": "active"},
        {"fingerprint": second, "status": "active"},
        {"fingerprint": "F" * 40, "status": "retired"},
    ]
    resource.write_text(json.dumps(data))
    capsys.readouterr()
    assert refresh.run(["--compare", "--from", str(checkout)], resource=resource) == 1
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [f"~ {first} active -> retired", f"+ {third} active", f"- {'F' * 40} retired"]
    )


def test_a_new_key_that_is_not_what_it_is_listed_as_is_refused_and_nothing_is_written(
    refresh, checkout, resource, keys
):
    first, second, _ = keys
    (checkout / "keys" / f"{first}.asc").write_text(str(keys[second]))
    with pytest.raises(NotVerifiedError, match="another one"):
        refresh.run(["--write", "--from", str(checkout)], resource=resource)
    assert not resource.exists()


def test_a_key_that_only_keys_list_names_is_told(refresh, checkout, resource):
    (checkout / "keys.list").write_text("E" * 40)
    with pytest.raises(InvalidInputError, match="E" * 40):
        refresh.run(["--compare", "--from", str(checkout)], resource=resource)


@pytest.mark.parametrize("comment", ["<!-- Active releasers keys -->", "<!-- /Retired keys -->"])
def test_a_readme_that_is_laid_out_otherwise_is_not_guessed_at(refresh, checkout, resource, comment):
    path = checkout / "README.md"
    path.write_text(path.read_text().replace(comment, ""))
    with pytest.raises(NotFoundError, match="no section of"):
        refresh.run(["--write", "--from", str(checkout)], resource=resource)
    assert not resource.exists()


def test_a_damaged_resource_is_told(refresh, checkout, resource):
    resource.write_text("{}")
    with pytest.raises(NodelayerError, match="not a list of release keys"):
        refresh.run(["--compare", "--from", str(checkout)], resource=resource)


def command(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    done = command("--compare", "--from", str(tmp_path / "nothing"))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "README.md cannot be read" in done.stderr


def test_a_host_that_is_not_there_is_one_line():
    done = command("--compare", "--from", "http://127.0.0.1:9/release-keys")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "127.0.0.1 cannot be reached" in done.stderr
