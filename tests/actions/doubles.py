"""What third-party actions do with the file system, for workflows that run where GitHub is not.

    python doubles.py NAME        one step; its inputs as JSON in INPUTS, named as the action names them

act puts a composite action of doubles/NAME/ in the place of each action that a workflow uses. What a step was
given is appended to $DOUBLES/steps.jsonl. Below the folder $DOUBLES:

    repositories/OWNER/NAME.git   what can be checked out
    artifacts/ID/                 artifacts of the run: the file name, and the folder files
    poison.py                     what a compromised job does to an artifact, if it is there
    pages/                        the site that was deployed
    runner/, runner-JOB/          a folder whose .venv each job or one job gets, if it is there
    sigstore/                     the signers of attestations (sigstore.py)

Behaviour: README.md of each action at the version that the workflows name.
"""

import contextlib
import fnmatch
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import sigstore  # beside this script
import venv_links

HOME = Path(os.environ["DOUBLES"])
WORKSPACE = Path(os.environ.get("GITHUB_WORKSPACE", "."))


class StepError(Exception):
    """The step fails, as the action itself would."""


def checkout(given):
    name = given["repository"] or os.environ["GITHUB_REPOSITORY"]
    own = name == os.environ["GITHUB_REPOSITORY"]
    source = HOME / "repositories" / f"{name}.git"
    if not source.is_dir():
        raise StepError(f"repository '{name}' not found")
    folder = WORKSPACE / given["path"]
    folder.mkdir(parents=True, exist_ok=True)
    event_ref = os.environ["GITHUB_REF"]
    ref = given["ref"] or (event_ref if own else "HEAD")
    url = source.as_uri()
    git = ["git", "-c", "advice.detachedHead=false", "-C", str(folder)]
    run([*git, "init", "-q"])
    run([*git, "remote", "add", "origin", url])
    depth = [f"--depth={given['fetch-depth']}"] if given["fetch-depth"] != "0" else []
    if own and not given["ref"]:
        local = event_ref if event_ref.startswith("refs/tags/") else "refs/remotes/origin/main"
        commit = output([*git, "ls-remote", url, f"{event_ref}^{{}}", event_ref]).split()[0]
        run([*git, "fetch", "-q", *depth, "--no-tags", "origin", f"+{commit}:{local}"])
        run([*git, "checkout", "-q", "--force", local])
    else:
        run([*git, "fetch", "-q", *depth, "--no-tags", "origin", ref])
        run([*git, "checkout", "-q", "--force", "FETCH_HEAD"])
    if given["persist-credentials"] != "false":
        run([*git, "config", "http.https://github.com/.extraheader", "AUTHORIZATION: basic c2VjcmV0"])
    prepare(folder)
    return {"ref": ref, "commit": output([*git, "rev-parse", "HEAD"]).strip()}


def prepare(folder):
    """Put in place what `make venv` made once: it takes a quarter of a minute and is always the same."""
    named = HOME / f"runner-{os.environ.get('GITHUB_JOB')}"
    ready = (named if named.exists() else HOME / "runner").resolve()
    if (ready / ".venv").is_dir() and (folder / "Makefile").is_file():
        venv_links.link(ready, folder)


def setup_python(given):
    if not given["python-version"]:
        raise StepError("no python-version")
    return {"python-version": given["python-version"]}


def upload_artifact(given):
    root, files = found(given["path"])
    if not files:
        if given["if-no-files-found"] == "error":
            raise StepError(f"No files were found with the provided path: {given['path']}")
        say(f"No files were found with the provided path: {given['path']}")
        return {}
    if set(given["name"]) & set('":<>|*?\r\n\\/'):
        raise StepError("The artifact name is not valid: " + given["name"])
    for old in artifacts(given["name"]):
        if given["overwrite"] != "true":
            raise StepError("(409) Conflict: an artifact with this name already exists on the workflow run")
        shutil.rmtree(old)
    target = new_artifact(given["name"])
    for file in files:
        put = target / "files" / file.relative_to(root)
        put.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, put)
    if (HOME / "poison.py").exists():
        run([sys.executable, str(HOME / "poison.py"), given["name"], str(target / "files")])
    return {"artifact-id": target.name, "artifact-digest": ""}


def artifacts(pattern):
    """The folders of the artifacts of the run whose names match."""
    named = {each: (each / "name").read_text() for each in sorted((HOME / "artifacts").glob("[0-9]*"))}
    return [each for each, name in named.items() if fnmatch.fnmatchcase(name, pattern)]


def new_artifact(name):
    while True:
        target = HOME / "artifacts" / str(random.randrange(10**9, 10**10))
        with contextlib.suppress(FileExistsError):
            target.mkdir(parents=True)
            (target / "name").write_text(name)
            (target / "files").mkdir()
            return target


def download_artifact(given):
    into = WORKSPACE / (given["path"] or ".")
    flat = given["merge-multiple"] == "true"
    if given["artifact-ids"]:
        chosen = [HOME / "artifacts" / each.strip() for each in given["artifact-ids"].split(",")]
        if missing := [each.name for each in chosen if not each.is_dir()]:
            raise StepError(f"None of the provided artifact IDs were found: {missing}")
        flat = flat or len(chosen) == 1
    elif given["name"]:
        chosen, flat = artifacts(given["name"]), True
        if not chosen:
            raise StepError("Unable to download artifact(s): Artifact not found for name: " + given["name"])
    else:
        chosen = artifacts(given["pattern"] or "*")
    for each in chosen:
        target = into if flat else into / (each / "name").read_text()
        shutil.copytree(each / "files", target, dirs_exist_ok=True)
    say(f"Total of {len(chosen)} artifact(s) downloaded")
    return {"download-path": str(into)}


def attest(given):
    _, files = found(given["subject-path"])
    if not files:
        raise StepError("Could not find subject at path " + given["subject-path"])
    file = {"attest": "layer.yml"}.get(os.environ["GITHUB_JOB"], "release.yml")
    run = sigstore.Workflow(
        os.environ["GITHUB_REPOSITORY"], file, os.environ["GITHUB_REF"], os.environ["GITHUB_SHA"]
    )
    statement = (sigstore.PROVENANCE, sigstore.provenance(run))
    if given["sbom-path"]:
        statement = (sigstore.CYCLONEDX, json.loads((WORKSPACE / given["sbom-path"]).read_bytes()))
    bundle = json.dumps(sigstore.attest(HOME / "sigstore", files, *statement, run))
    made = Path(os.environ["RUNNER_TEMP"]) / f"attestation-{uuid.uuid4().hex}.json"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(bundle + "\n")
    kept = HOME / "attestations"
    kept.mkdir(exist_ok=True)
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        with (kept / f"{digest}.jsonl").open("a") as opened:
            opened.write(bundle + "\n")
    return {"bundle-path": str(made), "attestation-id": uuid.uuid4().hex}


def configure_aws_credentials(given):
    if not given["aws-region"]:
        raise StepError("Region is not valid: aws-region is required")
    if not given["role-to-assume"].startswith("arn:"):
        raise StepError("Could not load credentials from any providers")
    account = given["role-to-assume"].split(":")[4]
    append(
        "GITHUB_ENV",
        {
            "AWS_REGION": given["aws-region"],
            "AWS_DEFAULT_REGION": given["aws-region"],
            "AWS_ACCESS_KEY_ID": account,  # the emulator takes the key for the account
            "AWS_SECRET_ACCESS_KEY": "not-asked-for",
        },
    )
    return {"aws-account-id": account}


def upload_pages_artifact(given):
    if artifacts(given["name"]):
        raise StepError(f'Multiple artifacts named "{given["name"]}" would be found for this workflow run')
    target = new_artifact(given["name"])
    with tarfile.open(target / "files" / "artifact.tar", "w") as opened:
        opened.add(WORKSPACE / given["path"], ".")
    return {"artifact_id": "1"}


def deploy_pages(given):
    made = artifacts(given["artifact_name"])
    if not made:
        raise StepError(f"No artifacts named '{given['artifact_name']}' were found for this workflow run")
    shutil.rmtree(HOME / "pages", ignore_errors=True)
    with tarfile.open(made[0] / "files" / "artifact.tar") as opened:
        opened.extractall(HOME / "pages", filter="data")
    return {"page_url": "https://pages.example.org/"}


def found(path):
    """The folder that names in an artifact are relative to, and the files: of a folder, or of patterns."""
    whole = WORKSPACE / path
    if whole.is_dir():
        return whole, sorted(each for each in whole.rglob("*") if each.is_file())
    lines = [line.strip() for line in path.replace(",", "\n").splitlines() if line.strip()]
    files = sorted({file for line in lines for file in WORKSPACE.glob(line) if file.is_file()})
    return (Path(os.path.commonpath([each.parent for each in files])) if files else WORKSPACE), files


def say(line):
    sys.stdout.write(f"{line}\n")


def append(variable, values):
    with Path(os.environ[variable]).open("a") as opened:
        opened.writelines(f"{name}={value}\n" for name, value in values.items())


def run(line):
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"{line[0]} {line[-1]}: {done.stderr.strip()}")


def output(line):
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


ACTIONS = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(checkout, setup_python, upload_artifact, download_artifact, attest, configure_aws_credentials),
        *(upload_pages_artifact, deploy_pages),
    )
}


def main(name):
    given = json.loads(os.environ["INPUTS"])
    step = {"action": name, "job": os.environ.get("GITHUB_JOB"), "inputs": given}
    with (HOME / "steps.jsonl").open("a") as opened:
        opened.write(json.dumps(step) + "\n")
    try:
        outputs = ACTIONS[name](given)
    except StepError as error:
        say(f"::error::{error}")
        return 1
    append("GITHUB_OUTPUT", outputs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
