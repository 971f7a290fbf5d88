"""A double of GitHub's REST API for the real `gh`: releases, assets, refs, runs, issues and pull requests.

gh finds it with the variables of `environ`, which name it as proxy of http://*.github.localhost. NO_PROXY
must not hold `localhost`, which would mean github.localhost as well.

What it keeps lies in DIR, to be read and written from outside at any time: releases/ID/release.json and
releases/ID/assets/NAME, issues/N.json, pulls/N.json, runs/ID.json, repository.git
(a bare one, whose refs are GitHub's), dispatches.jsonl, config.json, faults.json (see `fault`), calls.log (a
line for each request).

Paths, statuses and fields as these pages have them, of https://docs.github.com:
rest/releases/releases · rest/releases/assets (state starter, 422 for a name that is there, digest) ·
rest/git/refs · rest/git/tags · rest/actions/workflow-runs · rest/actions/workflows ·
rest/issues/issues · rest/issues/comments · rest/pulls/pulls ·
rest/using-the-rest-api/using-pagination-in-the-rest-api (Link) ·
rest/using-the-rest-api/rate-limits-for-the-rest-api (403) ·
code-security/supply-chain-security/understanding-your-software-supply-chain/immutable-releases
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

API = "http://api.github.localhost"
UPLOADS = "http://uploads.github.localhost"
WEB = "https://github.localhost"
REPOSITORY = "owner/name"
_PAGE = 30


class RefusalError(Exception):
    """A status and the body that goes with it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.body = {"message": message}


def environ(port, token="token-of-a-test", **more):  # noqa: S107 - it opens nothing
    """The variables with which gh, and what starts it, meets the double; none of this machine's proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN", "GITHUB_RUN_ID", "GH_REPO"):
        kept.pop(name, None)
    return kept | {
        "GH_HOST": "github.localhost",
        "GH_TOKEN": token,
        "http_proxy": f"http://127.0.0.1:{port}",
        "NO_PROXY": "127.0.0.1",
        "GITHUB_REPOSITORY": REPOSITORY,
        **{name: str(value) for name, value in more.items()},
    }


class State:
    """What the double keeps, in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.git_folder = self.folder / "repository.git"
        for name in ("releases", "issues", "pulls", "runs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not self.git_folder.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", self.git_folder], check=True)
            tree = self.git("mktree", sent="")
            who = {
                f"GIT_{role}_{what}": what for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
            }
            self.git("update-ref", "refs/heads/main", self.git("commit-tree", tree, "-m", "first", **who))

    def git(self, *words, sent=None, **variables):
        done = subprocess.run(
            ["git", *words],
            cwd=self.git_folder,
            input=sent,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RefusalError(422, done.stderr.strip() or "Object does not exist")
        return done.stdout.strip()

    @property
    def config(self):
        """`environments`, `checks`: see below; `immutable`: releases are, once published; `token`: the one
        that is accepted; `workflows`: those that are there without a run yet, and can be started.
        """
        return self._read(self.folder / "config.json", {})

    def fault(self, method, path, do, **more):
        """The next request of that method and a path that matches fails.

        `do`: "502" (at once), "502 after" (it is done), "cut" (an upload, half-way: a starter is left),
        "limit" (403), "hang" (nothing is done), "hang after". `skip`: so many go
        through first.
        """
        path_of = self.folder / "faults.json"
        faults = [*self._read(path_of, []), {"method": method, "path": path, "do": do, "skip": 0, **more}]
        self.write(path_of, faults)

    def take_fault(self, method, path):
        faults = self._read(self.folder / "faults.json", [])
        matching = (
            each for each in faults if re.fullmatch(each["method"], method) and re.search(each["path"], path)
        )
        if not (fault := next(matching, None)):
            return None
        fault["skip"] -= 1
        due = fault["skip"] < 0
        if due:
            faults.remove(fault)
        self.write(self.folder / "faults.json", faults)
        return fault if due else None

    def calls(self):
        """`METHOD path status` of each request, oldest first."""
        path = self.folder / "calls.log"
        return path.read_text().splitlines() if path.exists() else []

    def releases(self):
        found = [self._read(path, None) for path in self.folder.glob("releases/*/release.json")]
        return sorted(found, key=lambda each: -each["id"])

    def release_folder(self, release):
        return self.folder / "releases" / str(release["id"])

    def save_release(self, release):
        folder = self.release_folder(release)
        (folder / "assets").mkdir(parents=True, exist_ok=True)
        self.write(folder / "release.json", release)

    def all(self, kind):
        found = [self._read(path, None) for path in (self.folder / kind).glob("*.json")]
        return sorted(found, key=lambda each: -each.get("number", each.get("id", 0)))

    def next(self):
        """A number that none had before."""
        path = self.folder / "next"
        number = int(path.read_text()) if path.exists() else 1
        path.write_text(str(number + 1))
        return number

    @staticmethod
    def write(path, data):
        new = path.with_name(f"{path.name}.new")
        new.write_text(json.dumps(data, indent=1))
        new.rename(path)

    @staticmethod
    def _read(path, otherwise):
        with contextlib.suppress(FileNotFoundError):
            return json.loads(path.read_text())
        return otherwise


ROUTES = []


def route(method, pattern):
    def kept(function):
        ROUTES.append((method, re.compile(pattern), function))
        return function

    return kept


def one(found, what="Not Found"):
    for each in found:
        return each
    raise RefusalError(404, what)


def shown(release):
    """A release as the API tells it."""
    return {
        **release,
        "html_url": f"{WEB}/{REPOSITORY}/releases/tag/{release['tag_name']}",
        "upload_url": f"{UPLOADS}/repos/{REPOSITORY}/releases/{release['id']}/assets{{?name,label}}",
    }


def of_id(state, number):
    return one(each for each in state.releases() if each["id"] == int(number))


def come_out(state, release):
    """What happens when a release is published: it may be immutable from then on."""
    state.git("rev-parse", "--verify", f"refs/tags/{release['tag_name']}")
    release["immutable"] = bool(state.config.get("immutable"))
    release["assets_when_published"] = len(release["assets"])  # not GitHub's: for tests


@route("GET", r"releases")
def list_releases(state, _query, _body):
    return 200, [shown(each) for each in state.releases()]


@route("GET", r"releases/tags/(.+)")
def release_of_tag(state, _query, _body, tag):
    """A draft is not found by its tag."""
    return 200, shown(one(each for each in state.releases() if each["tag_name"] == tag and not each["draft"]))


@route("GET", r"releases/latest")
def latest(state, _query, _body):
    return 200, shown(one(each for each in state.releases() if each.get("make_latest") == "true"))


@route("POST", r"releases")
def create_release(state, _query, body):
    defaults = {"name": None, "body": None, "prerelease": False}
    release = {**defaults, **body, "id": state.next(), "assets": [], "immutable": False}
    state.save_release(release)
    return 201, shown(release)


@route("PATCH", r"releases/(\d+)")
def edit_release(state, _query, body, number):
    release = of_id(state, number)
    before = release["draft"]
    release |= body
    if before and not release["draft"]:
        come_out(state, release)
    if body.get("make_latest") == "true":
        for other in state.releases():
            state.save_release({**other, "make_latest": "false"})
    state.save_release(release)
    return 200, shown(release)


@route("GET", r"releases/(\d+)/assets")
def list_assets(state, _query, _body, number):
    return 200, of_id(state, number)["assets"]


def check_mutable(release):
    if release["immutable"]:
        raise RefusalError(422, "Cannot upload assets to an immutable release.")


def add_asset(state, number, query, body, *, cut):
    """Add an upload with these bytes to a release; if it was cut, a starter without content."""
    release, name = of_id(state, number), query["name"]
    check_mutable(release)
    if any(each["name"] == name for each in release["assets"]):
        raise RefusalError(422, "Validation Failed: already_exists")
    asset = {
        "id": state.next(),
        "name": name,
        "browser_download_url": f"{WEB}/{REPOSITORY}/releases/download/{release['tag_name']}/{name}",
        "state": "starter" if cut else "uploaded",
        "size": len(body),
        "digest": None if cut else f"sha256:{hashlib.sha256(body).hexdigest()}",
    }
    if not cut:
        (state.release_folder(release) / "assets" / name).write_bytes(body)
    release["assets"].append(asset)
    state.save_release(release)
    return asset


@route("POST", r"releases/(\d+)/assets")
def upload(state, query, body, number):
    return 201, add_asset(state, number, query, body, cut=False)


@route("DELETE", r"releases/assets/(\d+)")
def delete_asset(state, _query, _body, number):
    for release in state.releases():
        for asset in release["assets"]:
            if asset["id"] == int(number):
                check_mutable(release)
                release["assets"].remove(asset)
                (state.release_folder(release) / "assets" / asset["name"]).unlink(missing_ok=True)
                state.save_release(release)
                return 204, None
    raise RefusalError(404, "Not Found")


def ref_of(line):
    name, sha, kind = line.split(" ")
    url = f"{API}/repos/{REPOSITORY}/git/{kind}s/{sha}"
    return {"ref": name, "object": {"sha": sha, "type": kind, "url": url}}


def refs(state, start):
    told = state.git("for-each-ref", "--format=%(refname) %(objectname) %(objecttype)")
    return [ref_of(line) for line in told.splitlines() if line.startswith(f"refs/{start}")]


@route("GET", r"git/ref/(.+)")
def get_ref(state, _query, _body, name):
    return 200, one(each for each in refs(state, name) if each["ref"] == f"refs/{name}")


@route("GET", r"git/matching-refs/(.+)")
def matching_refs(state, _query, _body, start):
    return 200, refs(state, start)


@route("GET", r"git/tags/([0-9a-f]{40})")
def get_tag(state, _query, _body, sha):
    lines = state.git("cat-file", "tag", sha).splitlines()
    found = dict(line.split(" ", 1) for line in lines[:4])
    return 200, {"sha": sha, "tag": found["tag"], "object": {"sha": found["object"], "type": found["type"]}}


@route("POST", r"git/refs")
def create_ref(state, _query, body):
    if [each for each in refs(state, body["ref"].removeprefix("refs/")) if each["ref"] == body["ref"]]:
        raise RefusalError(422, "Reference already exists")
    state.git("update-ref", body["ref"], body["sha"])
    return 201, one(refs(state, body["ref"].removeprefix("refs/")))


@route("PATCH", r"git/refs/(.+)")
def move_ref(state, _query, body, name):
    if not [each for each in refs(state, name) if each["ref"] == f"refs/{name}"]:
        raise RefusalError(422, "Reference does not exist")
    state.git("update-ref", f"refs/{name}", body["sha"])
    return 200, one(each for each in refs(state, name) if each["ref"] == f"refs/{name}")


@route("GET", r"environments/([\w.-]+)")
def environment(state, _query, _body, name):
    """By default every environment exists, limited to some tags."""
    policy = {"protected_branches": False, "custom_branch_policies": True}
    found = state.config.get("environments", {}).get(name, {"deployment_branch_policy": policy})
    return (200, found) if found else (404, {"message": "Not Found"})


@route("GET", r"commits/([0-9a-f]{40})/check-runs")
def check_runs(state, query, _body, sha):
    """By default each check passed. With several lists in `checks`, each request gets the next one."""
    passed = [[{"status": "completed", "conclusion": "success"}]]
    lists = state.config.get("checks", passed)
    state.write(state.folder / "config.json", {**state.config, "checks": lists[1:] or lists})
    name = {"name": query["check_name"], "html_url": f"{WEB}/{REPOSITORY}/runs/{sha[:7]}"}
    return 200, {"total_count": len(lists[0]), "check_runs": [{**name, **each} for each in lists[0]]}


@route("GET", r"actions/workflows/([\w.-]+)/runs")
def list_runs(state, _query, _body, workflow):
    found = [each for each in state.all("runs") if each["path"] == f".github/workflows/{workflow}"]
    if not found and workflow not in state.config.get("workflows", ()):
        raise RefusalError(404, "Not Found")
    return 200, {"total_count": len(found), "workflow_runs": found}


@route("POST", r"actions/workflows/([\w.-]+)/dispatches")
def dispatch(state, _query, body, workflow):
    if workflow not in state.config.get("workflows", ()):
        raise RefusalError(404, "Not Found")
    one(each for each in refs(state, "") if each["ref"].rpartition("/")[2] == body["ref"])
    with (state.folder / "dispatches.jsonl").open("a") as opened:
        opened.write(json.dumps({"workflow": workflow, **body}) + "\n")
    return 204, None


def issue_of(state, number):
    return one(each for each in state.all("issues") if each["number"] == int(number))


def save_issue(state, issue):
    state.write(state.folder / "issues" / f"{issue['number']}.json", issue)


@route("GET", r"issues")
def list_issues(state, query, _body):
    return 200, [
        each
        for each in state.all("issues")
        if each["state"] == query["state"] and query["labels"] in each["labels"]
    ]


@route("POST", r"issues")
def create_issue(state, _query, body):
    number = state.next()
    issue = {"labels": [], **body, "number": number, "state": "open", "comments": []}
    issue["html_url"] = f"{WEB}/{REPOSITORY}/issues/{number}"
    save_issue(state, issue)
    return 201, issue


@route("PATCH", r"issues/(\d+)")
def edit_issue(state, _query, body, number):
    issue = issue_of(state, number) | body
    save_issue(state, issue)
    return 200, issue


@route("POST", r"issues/(\d+)/comments")
def create_comment(state, _query, body, number):
    issue = issue_of(state, number)
    issue["comments"].append(body["body"])
    save_issue(state, issue)
    return 201, {"html_url": f"{issue['html_url']}#issuecomment-{len(issue['comments'])}"}


@route("GET", r"pulls")
def list_pulls(state, query, _body):
    wanted = (query["state"], query["head"], query["base"])
    found = [(each, each["state"], each["head"]["label"], each["base"]["ref"]) for each in state.all("pulls")]
    return 200, [each for each, *has in found if tuple(has) == wanted]


@route("POST", r"pulls")
def create_pull(state, _query, body):
    for name in ("head", "base"):
        state.git("rev-parse", "--verify", f"refs/heads/{body[name]}")
    label = f"{REPOSITORY.partition('/')[0]}:{body['head']}"
    number = state.next()
    pull = {
        **body,
        "number": number,
        "state": "open",
        "html_url": f"{WEB}/{REPOSITORY}/pull/{number}",
        "head": {"ref": body["head"], "label": label},
        "base": {"ref": body["base"]},
    }
    state.write(state.folder / "pulls" / f"{number}.json", pull)
    return 201, pull


@route("PATCH", r"pulls/(\d+)")
def edit_pull(state, _query, body, number):
    pull = one(each for each in state.all("pulls") if each["number"] == int(number))
    state.write(state.folder / "pulls" / f"{number}.json", pull | body)
    return 200, pull | body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with contextlib.suppress(ConnectionError):
            self._handle()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - their names

    def log_message(self, *_):
        pass

    def _handle(self):
        server, url = self.server, urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        uploading = (self.headers.get("host") or url.netloc).startswith("uploads.")
        with server.lock:
            fault = server.state.take_fault(self.command, path)
        do = fault["do"] if fault else ""
        if do == "cut":
            self.rfile.read(int(self.headers.get("content-length", "0")) // 2)
            with server.lock:
                number = path.split("/")[-2]
                add_asset(server.state, number, query, b"", cut=True)
                self._log(path, "cut")
            self.close_connection = True
            return
        received = self._receive()
        if do == "hang":
            self._log(path, "hang")
            time.sleep(600)
            return
        with server.lock:
            status, data, headers = self._refused(fault) or self._do(path, query, received, uploading)
            status = 502 if do == "502 after" else status
            self._log(path, f"{status}{' hang' if do else ''}")
        if do == "hang after":
            time.sleep(600)
            return
        self._send(status, data, headers)

    def _refused(self, fault):
        match fault:
            case {"do": "502"}:
                return 502, {"message": "Server Error"}, {}
            case {"do": "limit"}:
                message = "You have exceeded a secondary rate limit. Please wait a few minutes."
                return 403, {"message": message}, {}
        return None

    def _do(self, path, query, received, uploading):
        state = self.server.state
        try:
            given = self.headers.get("authorization", "").removeprefix("token ").removeprefix("Bearer ")
            if not given or given != state.config.get("token", given):
                raise RefusalError(401, "Bad credentials")  # noqa: TRY301
            start = f"/repos/{REPOSITORY}"
            if path.rstrip("/") == start and self.command == "GET":
                return 200, {"full_name": REPOSITORY, "default_branch": "main"}, {}
            for method, pattern, function in ROUTES:
                match = pattern.fullmatch(path.removeprefix(f"{start}/"))
                if match and method == self.command and path.startswith(start):
                    if uploading != (function is upload):
                        break
                    body = received if uploading else json.loads(received or "null")
                    status, data = function(state, query, body, *match.groups())
                    return status, *self._paged(path, query, data)
            raise RefusalError(404, "Not Found")  # noqa: TRY301
        except RefusalError as error:
            return error.status, error.body, {}

    def _paged(self, path, query, data):
        """One page of a list, and where the next one is."""
        if not isinstance(data, list):
            return data, {}
        size, page = int(query.get("per_page", _PAGE)), int(query.get("page", 1))
        part = data[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(data):
            headers["Link"] = f'<{API}{path}?{urlencode({**query, "page": page + 1})}>; rel="next"'
        return part, headers

    def _receive(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _log(self, path, how):
        with (self.server.state.folder / "calls.log").open("a") as log:
            log.write(f"{self.command} {path} {how}\n")

    def _send(self, status, data, headers):
        body = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = State(folder)
        self.lock = Lock()


@contextlib.contextmanager
def running(folder):
    """The double in a thread of this process: its state and its port."""
    with Server(folder) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.state, server.server_port
        server.shutdown()
