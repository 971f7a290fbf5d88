"""Each command of the documentation is typed, and answers as its page shows; or why not stands here."""

import json
import re
import shlex
import shutil
import zipfile

import botocore.session
import pytest
from botocore import xform_name
from docs.pages import PAGES, name_of
from support import ROOT

from actions import sigstore
from docs import messages, pages
from nodelayer.catalog.snippets import FORMATS

BUILDS = {"README.md", "docs/getting-started.md"}
"""Pages whose commands build Node.js and run it; the others meet a layer that is made in a moment."""

ACCOUNT = "needs an AWS account: the emulator signs nobody in, and has no such service"
ROLES = "deploys roles; tests/publish/test_rights.py deploys the template and holds every call against it"
DOCKER = "needs Docker and an image; tests/integration/test_docker_builder.py builds so"
IMAGE = "needs an image of Amazon Linux, or its files"
SAM = "needs the SAM CLI and Docker or an account; tests/integration/test_sam.py runs it"
SHARED = "no emulator has the Serverless Application Repository"
LAMBDA = "the paths are those of a Lambda function, which the layer is not unpacked to here"
LONG = "takes minutes, and measures"
SOURCES = "asks sources that change; tests/unit/test_refresh.py does so, where they can be reached"
GITHUB = "asks GitHub; tests/actions/test_attestations.py has gh verify without it"
FUNCTION = "the emulator runs functions in Docker only"

RELEASES = "would release what it is run in; tests/unit/test_own_release.py and test_release_notes.py type it"

NOT_TYPED = {
    "invoke release minor --dry-run": RELEASES,
    "invoke release minor": RELEASES,
    "git push --atomic origin main v1.3.0": RELEASES,
    "invoke check-tag v1.3.0": RELEASES,
    "invoke release-notes --tag v1.3.0 --repository OWNER/REPOSITORY > notes.md": RELEASES,
    "invoke release-notes --tag v1.3.0 --repository OWNER/REPOSITORY --node 24.1.0,26.1.0 "
    "> notes.md": RELEASES,
    "make test": "is what runs this",
    "make tour": "is typed by tests/integration/test_tour.py",
    "make lint": "is checked before every commit, and takes long",
    "make": "lists the commands; would set up another environment",
    'make test ARGS="--only tests/unit"': "is what runs this",
    "make bench": LONG,
    "sudo .ci/run": "changes the machine, and runs this",
    "invoke bench": LONG,
    "gh workflow run release.yml --ref v1.2.3 -f node=12.16.1 -f regions=sa-east-1": (
        "starts a run on GitHub; tests/actions runs what it starts"
    ),
    'make test ARGS="--only tests/actions"': "takes minutes",
    "make refresh": SOURCES,
    'make refresh ARGS="--compare --only runtimes,rie"': SOURCES,
    'make refresh ARGS="--keep actions --summary summary.md"': SOURCES,
    "invoke bench --only sizes": LONG,
    "invoke bench --only build": LONG,
    "invoke bench --only runtime": LONG,
    "invoke bench --only publish": LONG,
    "invoke bench --only catalog": LONG,
    "python benchmarks/runtime/heap.py": LONG,
    "python benchmarks/runtime/endurance.py": LONG,
    "gh attestation verify nodejs-12.16.1-x86_64.zip --repo OWNER/nodelayer "
    "--signer-workflow OWNER/nodelayer/.github/workflows/release.yml --source-ref refs/tags/v1.2.3": GITHUB,
    "gh attestation trusted-root > trusted_root.jsonl": GITHUB,
    "aws sso login": ACCOUNT,
    "aws cloudformation deploy --region us-east-1 --stack-name nodelayer "
    "--template-file cloudformation/github-publisher.yaml --capabilities CAPABILITY_NAMED_IAM "
    "--parameter-overrides Repository=OWNER/REPO Tag='v*' Parameters=yes StagingBucket=deployed "
    "PruneEnvironment=prune": ROLES,
    "aws cloudformation describe-stacks --region us-east-1 --stack-name nodelayer "
    "--query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' --output table": ROLES,
    "aws cloudformation deploy --profile reader --region us-east-1 --stack-name nodelayer "
    "--template-file cloudformation/github-publisher.yaml --capabilities CAPABILITY_NAMED_IAM "
    "--parameter-overrides Repository=OWNER/REPO Publisher=no LayerAccount=123456789012": ROLES,
    "aws cloudformation create-stack-set --stack-set-name nodelayer-staging "
    "--template-body file://aws/staging-bucket.yaml": ACCOUNT,
    "aws cloudformation create-stack-instances --stack-set-name nodelayer-staging --accounts 123456789012 "
    "--regions eu-west-1 us-east-1": ACCOUNT,
    "aws lambda invoke --region eu-west-1 --function-name function --cli-binary-format raw-in-base64-out "
    """--payload '{"name": "Ada"}' answer.json""": FUNCTION,
    "tests/images/standin-base.sh amd64 arm64 (root; mmdebstrap, Docker)": DOCKER,
    "invoke build-layer --node 26 --builder docker --base-image 'nodelayer-standin:{arch}'": DOCKER,
    "python -m nodelayer.project.pins.abi_policies --image public.ecr.aws/lambda/provided:al2023 "
    "--runtime provided.al2023 --arch x86_64 --compare": IMAGE,
    "python -m nodelayer.project.pins.abi_policies root.tar.gz --runtime provided.al2 "
    "--arch arm64 --write": IMAGE,
    "cd /var/task && NODE_COMPILE_CACHE=/var/task/compiled setpriv --reuid 993 --clear-groups "
    """/opt/nodejs/bin/node -e 'require("/var/task/index.js")'""": LAMBDA,
    "sam build --template sam/layer.yaml": SAM,
    "sam deploy --stack-name node --region eu-west-1": SAM,
    "sam build --template sam/function.yaml && sam deploy --stack-name hello --region eu-west-1 "
    "--parameter-overrides LayerArn=ARN": SAM,
    "sam package --resolve-s3 --region eu-west-1 --output-template-file packaged.yaml": SAM,
    "sam publish --template packaged.yaml --region eu-west-1 --semantic-version 1.0.0": SHARED,
    "invoke sam-build --node 12.16.1": SAM,
    "sam local invoke Function --event function/events/hello.json": SAM,
    "sam local start-api": SAM,
    "invoke deploy --region eu-west-1 --node 12": SAM,
    "invoke invoke-function --region eu-west-1": SAM,
    """invoke invoke-function --region eu-west-1 --event - <<< '{"fail":"on purpose"}'""": SAM,
    "invoke destroy --region eu-west-1": SAM,
    'curl --aws-sigv4 aws:amz:eu-west-1:execute-api --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
    '-H "x-amz-security-token: $AWS_SESSION_TOKEN" '
    "https://….execute-api.eu-west-1.amazonaws.com/hello": ACCOUNT,
}
"""Commands, each on one line, and why they are not typed. test_links.py checks tasks and flags of all."""

ENDS = {"invoke build-layer --node 26 --runtime provided.al2": 6}
"""Commands that are to fail, and their exit code."""

INSTEAD = {"--node 26 ": "--node 26.10.0 --builder local --source npm "}
"""What stands for what is elsewhere, or changes: other tests build 26.10.0, so it is not downloaded again."""

OF_SOME_MACHINES = (
    "Setting up .venv",
    "nodejs.org cannot be reached",
    "Node.js 12.16.1 for x86_64 from npm",
    "Local builder, so not proved inside",
)
"""Lines that are printed or not, by what a machine has and reaches."""

_MEASURED = re.compile(r"\d+(?:\\\.\d+)?(?=\\? ms\b)|(?<=InMillis\":)\d+")
_PATHS = re.compile(
    r"(?:(?<= )|(?<=^)|file://)((?:aws|sam|scripts|docker|function|docs|benchmarks|\.ci)/[\w./-]+)"
)
_OF_EVERY_CALL = {"region", "query", "output", "profile", "cli-binary-format"}
PROGRAMS = ("invoke", "make", "aws", "git", "mkdir", "echo", "zip", "awk", "openssl", "sh")
PROGRAMS += ("gh", "jq", "sha256sum")
"""What may be typed unseen: it does no harm outside of the clone's folder and the emulator."""

each_page = pytest.mark.parametrize("page", [page for page in PAGES if pages.commands(page)], ids=name_of)


def published(clone):
    clone.publish("eu-west-1", "us-east-1", public=True)


def with_a_function(clone):
    """What docs/consuming.md speaks of: a layer that is published, and a function that it can be given to."""
    published(clone)
    with zipfile.ZipFile(clone.folder / "function.zip", "w") as packed:
        packed.writestr("function.js", "exports.handler = async () => process.version;\n")
    role = "arn:aws:iam::123456789012:role/function"
    outcome = clone.type(
        f'export ROLE_ARN={role}; eval "$(invoke arn --node 12 --region eu-west-1 --format cli)"'
    )
    assert outcome.code == 0, outcome.err


def a_release(clone):
    """What docs/security.md speaks of: some assets, downloaded, and the layer in a region."""
    published(clone)
    outcome = clone.type("cd dist && sha256sum *.zip *.json > ../SHA256SUMS && cp *.zip *_64.json ..")
    assert outcome.code == 0, outcome.err
    signers = sigstore.make(clone.folder.with_name("signers"))
    run = sigstore.Workflow("OWNER/nodelayer", "release.yml", "refs/tags/v1.2.3", "1" * 40)
    files = sorted((clone.folder / "dist").iterdir())
    bundle = sigstore.attest(signers, files, sigstore.PROVENANCE, sigstore.provenance(run), run)
    (clone.folder / "attestation-12.16.1-x86_64.jsonl").write_text(json.dumps(bundle) + "\n")
    shutil.copy(signers / sigstore.ROOTS, clone.folder)


def the_three_hashes_are_one(told):
    """Of AWS, of the manifest, of the zip: what a consumer compares."""
    hashes = [out for line, out in told.items() if re.search("CodeSha256|code_sha256|openssl", line)]
    assert len(hashes) == 3
    assert len(set(hashes)) == 1
    assert len(hashes[0].strip()) == 44


BEFORE_PAGE = {
    "docs/consuming.md": with_a_function,
    "docs/catalog.md": published,
    "docs/security.md": a_release,
}
AFTER_PAGE = dict.fromkeys(("docs/consuming.md", "docs/security.md"), the_three_hashes_are_one)


def in_ireland_only(clone, account):
    """Private, and recorded nowhere: somebody else has published it."""
    account.reset()
    clone.publish("eu-west-1")
    clone.forget()


def in_two_regions(clone, account):
    account.reset()
    clone.forget()
    published(clone)


BEFORE_COMMAND = {
    "invoke publish --node 12 --regions eu-west-1,us-east-1 --public --dry-run": in_ireland_only,
    "invoke arn --node lts --region eu-west-1 --format terraform": in_two_regions,
}


@each_page
@pytest.mark.network
def test_each_command_of_a_page_does_what_the_page_shows(page, account, address, request):
    commands = [command for command in pages.commands(page) if command.flat not in NOT_TYPED]
    if not commands:
        return
    clone = request.getfixturevalue("built" if name_of(page) in BUILDS else "small")
    account.reset()
    clone.forget()
    BEFORE_PAGE.get(name_of(page), lambda _: None)(clone)
    wrong, told = [], {}
    for command in commands:
        if command.flat in BEFORE_COMMAND:
            BEFORE_COMMAND[command.flat](clone, account)
        line = command.text.replace("https://example.org/layers.json", f"{address}/layers.sample.json")
        for written, typed in INSTEAD.items():
            line = line.replace(written, typed)
        assert first_program(line) in PROGRAMS, f"{line}: not to be typed unseen"
        outcome = clone.type(line)
        told[line] = outcome.out
        said = [*outcome.out.splitlines(), *outcome.err.splitlines()]
        if outcome.code != ENDS.get(command.flat, 0):
            wrong.append(f"{line}\n  ends with {outcome.code}: {outcome.err[-800:]}")
        lacking = [shown for shown in command.shown if not is_among(shown, said)]
        printed = "\n       ".join(said)
        wrong += [f"{line}\n  does not print: {shown}\n  but: {printed}" for shown in lacking]
    assert not wrong, "\n".join(wrong)
    AFTER_PAGE.get(name_of(page), lambda _: None)(told)


def first_program(line):
    """What a line starts, behind the variables that it sets."""
    return re.match(r"(?:[A-Z_]+=(?:\"[^\"]*\"|\S+) )*(?:\.venv/bin/)?([\w.-]*)", line)[1]


def is_among(shown, said):
    """Whether a line that a page shows was printed; `…` is anything, a time is any time."""
    if not shown.strip() or shown.startswith(OF_SOME_MACHINES):
        return True
    pattern = _MEASURED.sub(r"[\\d.]+", re.escape(shown)).replace("…", ".*")
    return any(re.fullmatch(pattern, line.rstrip()) for line in said)


def test_a_line_that_is_not_printed_is_noticed():
    said = [
        "Node.js 12.16.1 answered in 2.9 ms, cold start 21.4 ms",
        "dist/nodejs-12.16.1-x86_64.zip",
        "a: b",
    ]
    assert is_among("Node.js 12.16.1 answered in 40 ms, cold start 1.5 ms", said)
    assert is_among("a…", said)
    assert not is_among("Node.js 12.16.2 answered in 40 ms, cold start 1.5 ms", said)
    assert not is_among("dist/nodejs-12.16.1-x86_64", said)


def test_lines_of_some_machines_are_printed_by_something():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = [line for page in PAGES for command in pages.commands(page) for line in command.shown]
    for start in OF_SOME_MACHINES:
        assert [line for line in shown if line.startswith(start)]
        words = re.sub(r"12\.16\.1|x86_64|npm|nodejs\.org", "…", start)
        assert messages.exists(words) or start.removesuffix(".venv") in makefile


def test_lines_without_a_command_are_what_something_prints():
    for page in PAGES:
        for _, before in pages.consoles(page):
            for line in before:
                known = ("Not done: ", ". To retry only these regions, run: ")
                assert all(part in line for part in known), line
                assert messages.exists("Not done: …. To retry only these regions, run: …")


def test_what_is_typed_begins_with_a_program_that_may_be():
    typed = [each.flat for page in PAGES for each in pages.commands(page) if each.flat not in NOT_TYPED]
    assert [line for line in typed if first_program(line) not in PROGRAMS] == []


def test_what_is_not_typed_is_in_the_documentation():
    there = {command.flat for page in PAGES for command in pages.commands(page)}
    assert sorted(set(NOT_TYPED) - there) == []
    assert sorted({*ENDS, *BEFORE_COMMAND} - there) == []


@pytest.mark.parametrize("line", NOT_TYPED)
def test_what_is_not_typed_names_files_and_parameters_that_are_there(line):
    files = [ROOT / found[1] for found in _PATHS.finditer(line)]
    assert [path for path in files if not path.exists()] == []
    _, _, overrides = line.partition("--parameter-overrides ")
    templates = "".join(path.read_text(encoding="utf-8") for path in files if path.suffix == ".yaml")
    names = [word.partition("=")[0] for word in shlex.split(overrides)]
    assert [name for name in names if not re.search(rf"^  {name}:$", templates, re.MULTILINE)] == []
    scripts = "".join(path.read_text(encoding="utf-8") for path in files if path.suffix == ".py")
    if scripts:
        assert [flag for flag in re.findall(r"--[a-z-]+", line) if f'"{flag}"' not in scripts] == []


@pytest.mark.parametrize("line", [line for line in NOT_TYPED if line.startswith("aws ")])
def test_what_is_not_typed_is_a_call_that_aws_has(line):
    _, service, operation, *words = shlex.split(line)
    if (service, operation) in {("sso", "login"), ("cloudformation", "deploy")}:
        return  # commands of the AWS CLI, of no service
    model = botocore.session.get_session().get_service_model(service)
    calls = {xform_name(name, "-"): name for name in model.operation_names}
    taken = {xform_name(name, "-") for name in model.operation_model(calls[operation]).input_shape.members}
    flags = [word.removeprefix("--") for word in words if word.startswith("--")]
    assert [flag for flag in flags if flag not in taken | _OF_EVERY_CALL] == []


def test_consuming_md_shows_what_each_format_prints(small):
    page = (ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- invoke arn --format ([\w-]+) -->\n```\w+\n(.*?)```\n", page, re.DOTALL))
    assert sorted(["arn", *shown]) == sorted(FORMATS)
    lookup = "invoke arn --node 12.16.1 --region eu-west-1 --manifest docs/layers.sample.json"
    assert {each: small.type(f"{lookup} --format {each}").out for each in shown} == shown
