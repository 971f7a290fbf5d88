"""Run a runtime client with a handler and events, and describe the outcome.

An outcome has what a caller, an operator and Lambda see. It leaves out what differs from run to run: times,
paths of this machine, and stack frames outside the function.
"""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runtime.runtime_api import Event, RuntimeApi, request_id

EVERY_MAJOR = ("12.16.1", "14.21.3", "16.20.2", "18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0")
OLD, NEW = "12.16.1", "24.21.0"
"""The versions of Node.js that every test run uses. `invoke test-all` uses the others, too."""
LIMIT_S = 15.0
_FRAME = re.compile(r"^\s+at ")
_USER_FRAME = re.compile(r"(/function/[^\s():]+:\d+)(?::\d+)?")
_LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z\t(\S+)\t([A-Z]+)\t(.*)$")
_PROCESS = re.compile(r"\(node:\d+\)")
_REQUIRED_BY = "Require stack:"
_REQUIRED_BY_CLIENT = re.compile(r"^- (?!/function)/")
_LONG = 2000
_TYPE_UNITS = 256
_RIC3_BANNER = re.compile(r"^Executing '.*' in function directory '.*'$")


@dataclass(frozen=True)
class Client:
    """A runtime client: its name, its command line (with `{handler}`), its variables and its folder."""

    name: str
    node: str
    line: tuple[str, ...]
    variables: dict
    folder: Path


def aws(version, node_version, node, package):
    """Return AWS's client from an npm package folder, started as the managed runtime starts it."""
    major = node_version.partition(".")[0]
    program = package / ("bin/index.mjs" if version.startswith("3.") else "index.mjs")
    line = (str(node), str(program)) + (("{handler}",) if version.startswith("3.") else ())
    paths = [f"/opt/nodejs/node{major}/node_modules", "/opt/nodejs/node_modules", "/var/runtime/node_modules"]
    variables = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_nodejs{major}.x",
        "NODE_PATH": ":".join([*paths, "/var/runtime", "/var/task"]),
    }
    return Client(version, node_version, line, variables, package)


def ours(version, opt):
    """Return our client from a folder laid out like /opt."""
    return Client("nodelayer", version, (str(opt / "bootstrap"),), {}, opt)


@dataclass(frozen=True)
class Run:
    """What to run: a handler, events, variables (None removes one), and time limits."""

    handler: str
    events: tuple[Event, ...] = (Event(),)
    variables: dict = field(default_factory=dict)
    linger_s: float = 0.0
    limit_s: float = LIMIT_S
    deadline_s: float = 30.0
    after_refusal: str = "closed"


@dataclass(frozen=True)
class RunResult:
    """The raw results of a run: what the API received, exit code (None if it was killed), output."""

    api: RuntimeApi
    code: int | None
    done: bool
    out: str
    err: str


def run(client, what, function):
    """Run a client and kill all its processes at the latest shortly after the limit."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        concurrent = "AWS_LAMBDA_MAX_CONCURRENCY" in what.variables
        api = RuntimeApi(
            what.events, deadline_s=what.deadline_s, after_refusal=what.after_refusal, concurrent=concurrent
        )
        with api:
            process = subprocess.Popen(
                [part.replace("{handler}", what.handler) for part in client.line],
                cwd=function,
                env=_environment(client, what, function, api.address),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                code, done = _watch(process, api, what)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
        return RunResult(api, code, done, *texts)


def _watch(process, api, what):
    end = time.monotonic() + what.limit_s
    done = False
    while time.monotonic() < end:
        if process.poll() is not None:
            return process.returncode, done
        if api.wait_until_done(0.02):
            if not done:
                done = True
                end = min(end, time.monotonic() + what.linger_s)
            if time.monotonic() >= end:
                break
            time.sleep(0.005)
    return process.poll(), done


def _environment(client, what, function, address):
    seen = {
        "PATH": os.defpath,
        "HOME": "/tmp",  # noqa: S108 - as on Lambda
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": "eu-central-1",
        "AWS_LAMBDA_RUNTIME_API": address,
        "_HANDLER": what.handler,
        "LAMBDA_TASK_ROOT": str(function),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2025/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        **client.variables,
        **what.variables,
    }
    return {
        name: value.replace("{function}", str(function)) for name, value in seen.items() if value is not None
    }


def outcome(raw, function):
    """Return the outcome of a run as plain data."""
    result = {"answers": [_answers(raw, number, function) for number in range(len(raw.api.events))]}
    if any(request.early for request in raw.api.received):
        result["asked too early"] = True
    inits = [request for request in raw.api.received if request.path.endswith("/init/error")]
    if inits:
        result["init error"] = [_error(request, function) for request in inits]
    result["end"] = _end(raw)
    result["log"] = log_lines(raw.out, function)
    if errors := [line for line in raw.err.splitlines() if not line.startswith(("[ERROR] [", "[INFO] ["))]:
        result["stderr"] = [_relative(line, function) for line in errors]
    if raw.api.problems:
        result["problems"] = raw.api.problems
    return result


def without_machine(outcome, client):
    """Return the outcome without what differs between machines and times, so that it can be recorded."""
    text = json.dumps(outcome).replace(str(client.folder), "/client")
    return json.loads(re.sub(r"\[(ERROR|INFO)\] \[\d+\]", r"[\1] [0]", text))


def _end(raw):
    if raw.code is not None:
        return f"exit {raw.code}"
    return "waits" if raw.done else "silent"


def _answers(raw, number, function):
    named = f"/invocation/{request_id(number + 1)}/"
    return [_answer(each, function) for each in raw.api.received if named in each.path]


def _answer(request, function):
    if request.path.endswith("/error"):
        return {"error": _error(request, function)} | _status(request)
    text = _relative(bytes(request.body).decode("utf-8", "replace"), function)
    result = {"type": request.header("content-type")}
    if request.header("Lambda-Runtime-Function-Response-Mode") == "streaming":
        result |= {"stream": text, "ended": request.whole}
        if error := request.trailer("Lambda-Runtime-Function-Error-Type"):
            result["trailer type"] = error
        if body := request.trailer("Lambda-Runtime-Function-Error-Body"):
            result["trailer"] = _described(json.loads(base64.b64decode(body)), function)
    else:
        result["response"] = text
    return result | _status(request)


def _status(request):
    return {} if request.status == 202 or not request.whole else {"status": request.status}


def _error(request, function):
    try:
        result = _described(json.loads(bytes(request.body)), function)
    except ValueError:
        return {"not JSON": bytes(request.body).decode("utf-8", "replace")}
    return result


def _described(body, function):
    if isinstance(body, dict) and "trace" in body:
        body["trace"] = _frames(body["trace"], function)
    return _all_relative(body, function)


def _frames(lines, function):
    """Return a stack without the frames and required files of the client; frames become file:line."""
    result = []
    for line in "\n".join(map(str, lines)).split("\n") if lines else []:
        placed = _placed(line, function)
        if not _FRAME.match(placed):
            if not _REQUIRED_BY_CLIENT.match(placed):
                result.append(_short(placed))
        elif found := _USER_FRAME.search(placed):
            result.append(found[1])
    after = [*result, ""][1:]
    return [
        line for line, then in zip(result, after, strict=False) if line != _REQUIRED_BY or then[:2] == "- "
    ]


def _all_relative(value, function):
    if isinstance(value, str):
        return _relative(value, function)
    if isinstance(value, list):
        return [_all_relative(each, function) for each in value]
    if isinstance(value, dict):
        return {key: _all_relative(each, function) for key, each in value.items()}
    return value


def _relative(text, function):
    """Remove what differs from run to run; replace a long text by its digest."""
    return _short("\n".join(_frames(text.split("\n"), function)) if "\n" in text else _placed(text, function))


def _placed(text, function):
    placed = text.replace(f"file://{function}", "/function").replace(str(function), "/function")
    return _PROCESS.sub("(node:PID)", placed)


def _short(text):
    if len(text) <= _LONG:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:80]}... {len(text)} characters, SHA-256 {digest}"


def log_lines(text, function):
    """Return log lines as [request id, level, message], parsed JSON, or unchanged."""
    return [_log_line(line, function) for line in text.split("\n") if line and not _RIC3_BANNER.match(line)]


def _log_line(line, function):
    if found := _LINE.match(line):
        identity, level, message = found.groups()
        message, tab, shown = message.partition("\t{")
        if tab:
            with suppress(ValueError):
                shown = _shown(json.loads("{" + shown), function)
                return [_no_id(identity), level, _relative(message, function) + "\t", shown]
        return [_no_id(identity), level, *_text(found[3], function)]
    with suppress(ValueError):
        result = json.loads(line)
        if isinstance(result, dict) and "level" in result:
            result.pop("timestamp", None)
            result["requestId"] = _no_id(result.get("requestId"))
            return _shown(result, function)
    return _relative(line, function)


def _text(message, function):
    """Return a message; the lines of a stack in it are separated by CR."""
    return [
        "\r".join(_frames(message.split("\r"), function)) if "\r" in message else _relative(message, function)
    ]


def _no_id(identity):
    return "-" if identity in {None, "undefined"} else identity


def _shown(value, function):
    if isinstance(value, dict):
        shown = {key: _shown(each, function) for key, each in value.items()}
        for key in ("stack", "stackTrace", "trace"):
            if isinstance(value.get(key), list):
                shown[key] = _frames(value[key], function)
        if isinstance(value.get("requireStack"), list):
            shown["requireStack"] = [each for each in shown["requireStack"] if each.startswith("/function")]
        return shown
    if isinstance(value, list):
        return [_shown(each, function) for each in value]
    return _all_relative(value, function)


def unnamed_errors(raw):
    """Return the error reports whose header and body have different error types."""
    reports = [each for each in raw.api.received if each.path.endswith("/error") and each.whole]
    return [each.path for each in reports if not _is_named(each)]


def _is_named(report):
    named = report.header("Lambda-Runtime-Function-Error-Type")
    result = json.loads(bytes(report.body))["errorType"]
    return named == (re.sub(r"[^ -~]", "?", "".join(_utf16(result)[:_TYPE_UNITS])).strip() or "Error")


def _utf16(text):
    """Return the UTF-16 units of a text, as JavaScript counts them."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [chr(int.from_bytes(data[at : at + 2], "little")) for at in range(0, len(data), 2)]
