"""The cases: handlers, their events, and the clients of AWS to compare with."""

import json
from dataclasses import dataclass

from runtime.clients import Run
from runtime.runtime_api import Event

RIC3 = "3.3.0"
RIC4 = "4.0.2"
BOTH = (RIC3, RIC4)
OURS = ("12.16.1", "22.23.3", "24.21.0", "26.10.0")
AWS_NODE = {RIC3: "22.23.3", RIC4: "24.21.0"}


@dataclass(frozen=True)
class Case:
    """A run, and the clients of AWS to compare with on each Node.js version of `nodes`."""

    name: str
    run: Run
    like: tuple[str, ...] = BOTH
    nodes: tuple[str, ...] = OURS


CASES: list[Case] = []


def event(value=None, **changes):
    return Event(json.dumps({} if value is None else value).encode(), **changes)


def case(handler, *events, like=BOTH, nodes=OURS, variables=None, name=None, **more):
    run = Run(handler, tuple(events) or (Event(),), variables=variables or {}, **more)
    CASES.append(Case(name or handler, run, like, nodes))


def cases(file, *names, export=".{}", **more):
    """Add a case for each word of `names`: an export of the file, or, with `export`, a file."""
    for each in " ".join(names).split():
        case(f"{file}{export.format(each)}", **more)


# --- what an async handler returns
case("index.handler", event({"a": [1, "ü"]}))
case("values.echo", *[event(each) for each in ("text", 0, False, None, [], {"deep": [{"er": None}]})])
case("values.echo", Event(b'  {"a" : 1 }  '), name="an event with blanks")
case("values.echo", Event(b'{"a":1,"a":2,"__proto__":{"b":1}}'), name="an event with a key twice")
case("values.echo", Event('"é😀\u2028"'.encode()), name="an event beyond ASCII")
cases(
    "values",
    "text emptyText number zero minusZero notANumber infinity true false null undefined array object date",
    "buffer map error boxed withToJson loneSurrogate nullByte promiseOfPromise proxy function symbol bigInt",
    "cyclic throwingToJson throwingGetter undefinedToJson",
)
case("values.huge", event({"size": 6_000_000}), event({"size": 3}))
case("values.hugeUnicode", event({"size": 200_000}))
case("values.length", event({"text": "abcdefgh" * 700_000}))
case("values.echo", Event(b"{"), Event(), name="an event that is not JSON")
case("values.echo", Event(b""), name="an empty event")
case("values.echo", Event(b"{}"), Event(b'"two"'), Event(b"3"), name="several events")

# --- handlers that are not async functions
cases(
    "plain",
    "object text null nothing zero false nothingWithTimer objectWithTimer thenable rejectingThenable",
    "throwingThenable thenableOfThenable functionThenable notQuiteThenable pending pendingWithTimer",
    "foreignPromise generator asyncIterable asyncWithDefaults arguments this throwing class bound",
    "leavesTimer slow",
)

# --- callbacks, and context.done, succeed and fail: AWS dropped both with Node.js 24, ours keeps them
cases(
    "callbacks",
    "success undefinedError noArguments falseError emptyTextError zeroError error textError objectError",
    "errorAndValue later waitsForTimers doesNotWait twice successThenError successThenThrow",
    "successThenLaterThrow callbackThenPromise promiseAfterCallbackLater callbackErrorThenPromise",
    "callbackInsideAsync returnsBesideCallback neverCalls neverCallsReturns unserialisable restParameters",
    "defaultParameters done doneError doneNothing doneText succeed succeedNothing succeedBeforeReturn fail",
    "failText failNothing failNull succeedThenFail promiseThenDone doneDoesNotWait",
    "observedPromise observedRejection libraryReturnsServer",
    like=(RIC3,),
)
case("callbacks.neverCallsForLong", like=(RIC3,), limit_s=1.5)
case("callbacks.countsWithTimers", event(), event({"after": 20}), event({"after": 20}), like=(RIC3,))

# --- what a handler throws
cases(
    "errors",
    "plain empty type reference own unnamedClass named emptyName numberName undefinedName objectMessage",
    "undefinedMessage noStack stackIsArray withCause system json text emptyText number true null undefined",
    "object array symbol bigInt function noPrototype withToString throwingToString errorLike throwingMessage",
    "throwingStack throwingExtra del control lines unicode unicodeName newlineName huge realm cyclic big",
    "rejectedPromise rejectedNothing thrownSync frozen errorPrototype proxied",
)
cases("errors", "causeOption aggregate domException", nodes=OURS[1:])
case("errors.sometimes", event({"fail": 1}), event(), event({"fail": 3}), event())

# --- what ends the process: AWS's 4.x reports none of it, 3.x does
cases("crash", "uncaught uncaughtAsync uncaughtNull unhandled unhandledText unhandledSync", like=(RIC3,))
cases("crash", "handledInTime exit kill exitCodeOnly exitHook")
cases("crash", "ownListener uncaughtListener domain beforeExitListener", like=(RIC3,))
cases("crash", "throwsAfterResponse rejectsAfterResponse", like=(RIC3,), linger_s=1.0)
case("crash.exitsAfterResponse", linger_s=1.0)

# --- loading
cases("init/throws", "handler")
cases(
    "init/",
    "throwsText throwsNull throwsUndefined throwsObject throwsEsm syntax syntaxEsm syntaxBelow",
    "syntaxJson evalSyntax missingPackage missingFile missingPackageEsm missingFileEsm missingExportEsm",
    "requireError rejects exits logs slow badStreaming customError timer",
    export="{}.handler",
)
cases("init/", "throwsDuring pending", export="{}.handler", nodes=OURS[1:])
cases("init/rejectsLater", "handler", like=(RIC3,))
cases("init/throwsLater", "handler", like=(RIC3,))
cases(
    "init/exports",
    "missing number null object text nested.handler nested.deeper.handler nested.missing",
    "nested.missing.deeper function function.property with-dash über class.handler class toString",
    "__proto__.toString nested. .handler",
)
case("init/exports.")
for _each in (
    *("index", "index.", ".handler", "../function/index.handler", "./index.handler", "index..handler"),
    *("absent.handler", "modules/absent.handler", "absent/index.handler", "/index.handler", "modules/"),
    *("index.handler.", "index.default", "index.handler ", " index.handler", "modules//common.handler"),
    *("modules", "{function}/modules/common.handler"),
):
    case(_each, name=f"handler name {_each!r}")

# --- modules of every kind
cases("modules/common", "handler")
cases("modules/ecma", "handler", "only", "default.handler", nodes=OURS[1:])
case(
    "modules/ecma.handler",
    name="modules/ecma with a flag",
    nodes=OURS[:1],
    variables={"NODE_OPTIONS": "--experimental-modules"},
)
cases("modules/defaultFunction", "default", "handler", nodes=OURS[1:])
for _each in ("awaits", "imports", "two", "bundledEsm", "importsPackages"):
    case(f"modules/{_each}.handler", nodes=OURS[1:])
cases(
    "modules/",
    "common2 both extensionless data assigned functionModule transpiled bundled defaultOnly promised",
    "sloppy bom hashbang requiresEsm importsLazily usesPackages requiresDual this-is.odd.name",
    "folder/index folder esm/common commonInEsm/module pkgmain badPackage/module esm/inner/inner",
    export="{}.handler",
)
case(
    "plain.object",
    name="the permission model",
    variables={"NODE_OPTIONS": "--permission --allow-fs-read=*"},
    nodes=("22.23.3", "24.21.0"),
)
for _each in ("typed", "typedAwait", "typedCommon"):
    case(f"modules/{_each}.handler", nodes=OURS[1:])
case("modules/typed.handler", name="TypeScript on an old Node.js", nodes=OURS[:1])
case("modules/assigned.nested.handler")
case("modules/functionModule.missing")
case("modules/transpiled.default.other")
case("modules/transpiled.other")
case("modules/with space/a file.handler")
case("modules/esm/module.handler", nodes=OURS[1:])
case("modules/esm/broken.handler", nodes=OURS[1:])
cases("modules/esmSyntax", "handler", nodes=OURS[1:])
cases("modules/esmAwaitSyntax", "handler", nodes=OURS[1:])
case("modules/beside.handler", like=(RIC3,), nodes=OURS[1:])  # 4.0.2 imports the folder, and fails
case(
    "modules/common.handler",
    name="a task root that ends in a slash",
    variables={"LAMBDA_TASK_ROOT": "{function}/"},
)
case("plain-package.handler")
case("handler-package.handler")
case("modules/handler-package.handler")
_LAYER = {"NODE_PATH": "{function}/layer/nodejs/node_modules"}
case("modules/layered.handler", variables=_LAYER)
case("modules/layeredEsm.handler", variables=_LAYER, nodes=OURS[1:])
case("modules/layered.handler", name="a package whose layer is missing")

# --- streams
cases(
    "streams",
    "writes endOnly endWithText endWithObject object numbers bytes encoded emptyText writesNull",
    "writesUndefined contentType http httpEndText httpEndOnly httpUndefined pipeline transformed",
    "callbacks drain huge returns throwsFirst sync syncThrows syncLater promiseStyle exits context shape",
    "highWaterMark corked marked unmarked utf8Split",
)
for _each in ("neverEnded", "neverWritten", "destroyed", "pending", "uncaught", "unhandled", "pipelineFails"):
    case(f"streams.{_each}", limit_s=2.0)
case("streams.counted", event(), event(), event())
case(
    "streams.counted",
    event(),
    event({"fail": 1}),
    event(),
    name="a stream that fails between two others",
    like=(RIC3,),
)
# 4.0.2 asks for the next event before such a stream has ended, so its outcome varies
cases("streams", "throwsMidway throwsAfterEnd unicodeMidway lateContentType", like=(RIC3,))
case("streamsEsm.handler", nodes=OURS[1:])

# --- the log
_LOGS = (
    "text empty nothing lines format many object array null undefined number bigInt",
    "symbol function map date cyclic unicode escape error errorAndText errorFirst ownError errorInside",
    "twoErrors levels others table stdout stderr long extracted replaced kinds beforeExit",
    "toJson throwingToJson throwing",
)
cases("logs", *_LOGS)
for _each in " ".join(_LOGS).split():
    case(f"logs.{_each}", variables={"AWS_LAMBDA_LOG_FORMAT": "JSON"}, name=f"logs.{_each} as JSON")
case("logs.afterResponse", linger_s=0.3)
case("logs.twice", event({"n": 1}), event({"n": 2}))
for _each in ("TRACE", "debug", "INFO", "Warn", "ERROR", "FATAL", "nonsense", ""):
    for _format in ("Text", "json"):
        _variables = {"AWS_LAMBDA_LOG_LEVEL": _each, "AWS_LAMBDA_LOG_FORMAT": _format}
        case("logs.levels", variables=_variables, name=f"logs.levels at {_each!r} as {_format}")
case("logs.throwing", variables={"AWS_LAMBDA_LOG_LEVEL": "FATAL"}, name="logs.throwing at FATAL")
case(
    "logs.text",
    event(headers={"Lambda-Runtime-Aws-Tenant-Id": "t-1"}),
    variables={"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    name="logs.text of a tenant",
)
for _each, _like in (
    ("init/logs.handler", BOTH),
    ("init/throws.handler", BOTH),
    ("crash.uncaught", (RIC3,)),
    ("crash.unhandled", (RIC3,)),
):
    case(_each, variables={"AWS_LAMBDA_LOG_FORMAT": "JSON"}, name=f"{_each} as JSON", like=_like)

# --- context, environment and globals
cases(
    "environment",
    "contextKeys contextLeft contextWritable executionEnvironment variables handlerName where awslambda",
    "awslambdaKind awslambdaFunctions globals stdin argv child changedGlobals frozenIntrinsics",
)
case("environment.contextIsNew", event(), event(), event())
case("environment.contextValues", event(headers={"Lambda-Runtime-Deadline-Ms": "1893456000000"}))
case("environment.contextFlag", like=(RIC3,))
case("environment.atInit", variables={"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"})
case("environment.asyncContext", event({"n": 1}), event({"n": 2}), event({"n": 3}))
_CLIENT = {"Lambda-Runtime-Client-Context": '{"client":{"installation_id":"i"},"custom":{"a":"b"},"env":{}}'}
_IDENTITY = {"Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"id","cognitoIdentityPoolId":"pool"}'}
case("environment.contextClient", event(headers={**_CLIENT, **_IDENTITY}), event())
case(
    "environment.contextClient",
    event(headers={"Lambda-Runtime-Client-Context": "{"}),
    event(),
    name="a client context that is not JSON",
)
case(
    "environment.contextClient",
    event(headers={"Lambda-Runtime-Cognito-Identity": "text"}),
    event(),
    name="a Cognito identity that is not JSON",
)
case(
    "environment.contextClient",
    event(headers={"Lambda-Runtime-Client-Context": ""}),
    name="an empty client context",
)
case("environment.contextTenant", event(headers={"Lambda-Runtime-Aws-Tenant-Id": "t-1"}), event())
case("environment.contextTrace", event(), event(headers={"Lambda-Runtime-Trace-Id": None}))
case(
    "environment.trace",
    event(),
    event(headers={"Lambda-Runtime-Trace-Id": None}),
    event(headers={"Lambda-Runtime-Trace-Id": "Root=1-x;Lineage=a:0"}),
)
case(
    "environment.awslambdaKind",
    variables={"AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA": "true"},
    name="no global awslambda",
)

# --- several invocations in one process
case("state.counts", *[event()] * 4)
case("state.failsAndGoesOn", *[event()] * 4)
case("state.timerOfPreviousInvocation", event({"n": 1}), event({"n": 2, "wait": 60}))
case("state.throwOfPreviousInvocation", event({"n": 1}), event({"n": 2}), like=(RIC3,))
case("state.callbackOfPreviousInvocation", event({"n": 1}), event({"n": 2}), event({"n": 3}), like=(RIC3,))
case(
    "state.mixed",
    *[
        event({"by": by, "n": n})
        for n, by in enumerate(("callback", "promise", "done", "throw", "error", "nothing", "promise"))
    ],
    like=(RIC3,),
)

# --- an API that refuses
for _status in (413, 400, 403, 500):
    case(
        "values.echo",
        event(1, refusals=(_status,)),
        event(2),
        name=f"a response refused with {_status}",
        linger_s=0.3,
    )
