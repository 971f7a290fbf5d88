"""Every intended difference between AWS's clients and ours, with its reason.

outcomes.json has the outcomes of our client in these cases. NODELAYER_RECORD_OUTCOMES=1 writes that file
again; review its changes like code. A test fails for a difference that is not listed, and for an entry that
is no longer true.
"""

from dataclasses import dataclass

from runtime.cases import BOTH, OURS, RIC3, RIC4

OLDEST = OURS[:1]
NEWER = OURS[1:]


@dataclass(frozen=True)
class Intended:
    """Why ours differs from these clients of AWS, on these versions of Node.js."""

    reason: str
    clients: tuple[str, ...]
    nodes: tuple[str, ...]


INTENDED: dict[str, list[Intended]] = {}


def difference(reason, *names, clients=BOTH, nodes=OURS):
    for name in names:
        INTENDED.setdefault(name, []).append(Intended(reason, clients, nodes))


def _each(file, names):
    return [f"{file}.{name}" for name in names.split()]


# --- responses
difference(
    "the error says why a value has no JSON; 4.0.2 gives only its name, or nothing for functions and symbols",
    *_each("values", "function symbol bigInt cyclic throwingToJson throwingGetter undefinedToJson"),
)
difference(
    "as 4.0.2: the return value of a plain function is the response; 3.3.0 needs a callback or a promise",
    *_each("plain", "object text zero false objectWithTimer notQuiteThenable generator asyncIterable"),
    clients=(RIC3,),
)
difference(
    "as 4.0.2: every thenable is awaited; 3.3.0 needs a promise with catch, and awaits one level",
    *_each("plain", "thenable rejectingThenable thenableOfThenable"),
    clients=(RIC3,),
)
difference(
    "a promise that nothing can settle is an error; 3.3.0 responds with null, 4.0.2 exits silently",
    *_each("plain", "pending pendingWithTimer"),
)
difference("a handler is called without `this`: AWS's is the runtime itself", "plain.this")
difference(
    "as 4.0.2: a response without JSON fails only that invocation; 3.3.0 crashes",
    "callbacks.unserialisable",
    clients=(RIC3,),
)
difference(
    "an event that is not JSON fails only that invocation; 4.0.2 crashes",
    "an event that is not JSON",
    "an empty event",
    clients=(RIC4,),
)
difference(
    "the V8 of Node.js 12 has a different message",
    "an event that is not JSON",
    "init/exports.class",
    clients=(RIC3,),
    nodes=OLDEST,
)
difference(
    "the V8 of Node.js 12 has a different message", "init/exports.class", clients=(RIC4,), nodes=OLDEST
)

# --- errors
difference(
    "an object without its own toString is shown as JSON, not as [object Object]",
    "errors.object",
    "errors.array",
)
difference("an object without its own toString is shown as JSON", "callbacks.objectError", clients=(RIC3,))
difference("an object without its own toString is shown as JSON", "init/throwsObject.handler")
difference(
    "errorType is never empty, and an unusual property never hides the others",
    *_each(
        "errors", "emptyName numberName undefinedName objectMessage undefinedMessage noStack stackIsArray"
    ),
    *_each("errors", "throwingMessage throwingStack errorPrototype proxied"),
)
difference(
    "the causes of an error follow its stack",
    *_each("errors", "withCause causeOption aggregate"),
)
difference(
    "the causes of an error follow its stack: here, what the promise was rejected with",
    *_each("crash", "unhandled unhandledText unhandledSync"),
    "crash.unhandled as JSON",
    "init/rejectsLater.handler",
    clients=(RIC3,),
)
difference(
    "null is reported as null: 4.0.2 calls it an object, and 3.3.0 reports no error",
    *_each("errors", "null"),
    "init/throwsNull.handler",
)
difference("null is reported as null", "crash.uncaughtNull", clients=(RIC3,))
difference(
    "as 4.0.2: undefined is reported as undefined",
    *_each("errors", "undefined rejectedNothing"),
    "init/throwsUndefined.handler",
    clients=(RIC3,),
)
difference(
    "as 4.0.2: a symbol is reported by its description; 3.3.0 fails on it", "errors.symbol", clients=(RIC3,)
)
difference(
    "a value without a text is reported; 4.0.2 crashes on it, 3.3.0 reports its own failure",
    *_each("errors", "noPrototype throwingToString"),
)
difference(
    "an object with name, message and stack is an error, also one of another realm",
    *_each("errors", "errorLike realm"),
)
difference(
    "a property without JSON does not remove the others from the log",
    *_each("errors", "throwingExtra cyclic big"),
)
difference("a message of 50 kB is complete only once in the report", "errors.huge")

# --- the end of the process
difference(
    "the process ends at once; AWS's waits in native code and ends only when the next event has arrived",
    "crash.exitsAfterResponse",
)
difference(
    "the process ends at once; AWS's waits in native code and ends only when the next event has arrived",
    *_each("crash", "throwsAfterResponse rejectsAfterResponse"),
    clients=(RIC3,),
)
difference(
    "as 3.3.0: an error during a top-level await is reported; 4.0.2 crashes",
    "init/throwsDuring.handler",
    clients=(RIC4,),
)
difference("a module that awaits for ever is reported; AWS's clients exit silently", "init/pending.handler")

# --- loading
difference("the client has no native add-on, so it runs with --permission", "the permission model")
difference(
    "a handler in TypeScript runs without a build where Node.js strips types; AWS's clients do not find it",
    *[f"modules/{name}.handler" for name in ("typed", "typedAwait", "typedCommon")],
)
difference(
    "as 4.0.2: a syntax error shows its file and line",
    *[f"init/{name}.handler" for name in ("syntax", "syntaxBelow")],
    clients=(RIC3,),
)
difference(
    "as 4.0.2: a syntax error shows its file and line",
    "init/missingExportEsm.handler",
    clients=(RIC3,),
    nodes=NEWER,
)
difference(
    "a syntax error of an ES module shows its file and line too, and each trace begins with the error's name",
    *[f"init/{name}.handler" for name in ("syntaxEsm", "syntaxJson", "evalSyntax")],
)
difference(
    "the trace of a missing module shows which file required it",
    *[f"init/{name}.handler" for name in ("missingPackage", "missingFile", "requireError")],
)
difference(
    "a module that an ES module imports and that is missing has the same error as for CommonJS",
    *[f"init/{name}.handler" for name in ("missingPackageEsm", "missingFileEsm")],
)
difference(
    "Node.js 12.16 has no ES modules without a flag: the error says what to do",
    *[f"init/{name}.handler" for name in ("throwsEsm", "missingExportEsm")],
    "modules/esm/inner/inner.handler",
    nodes=OLDEST,
)
difference(
    "Node.js 12.16 has no ES modules without a flag, no require of them, no `exports` in package.json",
    *[f"modules/{name}.handler" for name in ("requiresEsm", "importsLazily", "requiresDual")],
    nodes=OLDEST,
)
difference("Node.js 12.16 prints a warning about its flag for ES modules", "modules/ecma with a flag")
difference(
    "Node.js 12.16 does not read that package.json",
    "modules/badPackage/module.handler",
    nodes=OLDEST,
)
difference(
    "as 4.0.2: a broken package.json is an error; 3.3.0 prints a warning first",
    "modules/badPackage/module.handler",
    clients=(RIC3,),
    nodes=NEWER,
)
difference(
    "the error for an invalid handler name has the name and an example",
    *[
        f"handler name {name!r}"
        for name in ("index", "index.", ".handler", "index.handler.", "modules", "modules/")
    ],
    *[f"handler name {name!r}" for name in ("../function/index.handler", "index..handler")],
    *_each("init/exports", "nested."),
    "init/exports.",
    "init/exports..handler",
)
difference(
    "as 4.0.2: an absolute path is one; 3.3.0 looks for it below the task root",
    "handler name '{function}/modules/common.handler'",
    clients=(RIC3,),
)
difference(
    "as 3.3.0: a handler name that begins with a slash is an absolute path; 4.0.2 drops the slash",
    "handler name '/index.handler'",
    clients=(RIC4,),
)
difference(
    "as 3.3.0: properties of functions and classes are found; 4.0.2 searches only plain objects",
    "init/exports.function.property",
    "init/exports.class.handler",
    clients=(RIC4,),
)
difference("the `default` of a CommonJS module is found; 4.0.2 takes it for the whole module",
        "handler name 'index.default'", clients=(RIC4,))  # fmt: skip
difference("as 3.3.0: a promise of the exports is awaited", "modules/promised.handler", clients=(RIC4,))
difference(
    "as 3.3.0: a folder is its index, or the main file of its package.json",
    "modules/folder.handler",
    "modules/pkgmain.handler",
    clients=(RIC4,),
)
difference("as 4.0.2: the default export is searched too", "modules/ecma.only", clients=(RIC3,))
difference(
    "the default export of a CommonJS module is searched too, because transpilers write it",
    "modules/defaultOnly.handler",
    "modules/transpiled.other",
)
difference("a JSON file is loaded like any module and exports no function", "modules/data.handler")
difference(
    "as 4.0.2: an ES module recognized by its syntax may have a top-level await",
    "modules/esmAwaitSyntax.handler",
    clients=(RIC3,),
)
difference(
    "import finds the packages of layers, as in AWS's managed runtimes, whose Node.js is patched for it",
    "modules/layeredEsm.handler",
)
difference("a handler is called without `this`, which is what these print",
        "init/exports.toString", "init/exports.__proto__.toString")  # fmt: skip
difference(
    "3.3.0 has a bug: the class of its error is not defined", "init/badStreaming.handler", clients=(RIC3,)
)

# --- streams
difference(
    "end takes what write takes; 3.3.0 and 4.0.2 leave objects to Node.js, which refuses them",
    *_each("streams", "endWithObject shape"),
)
difference("null is JSON too", "streams.writesNull")
difference(
    "an error before the first byte is reported as an error; AWS's clients start a response and add trailers",
    *_each("streams", "writesUndefined httpUndefined throwsFirst syncThrows"),
)
difference(
    "the prelude is also sent before a body passed to end(), and without a body",
    *_each("streams", "httpEndText httpEndOnly"),
)
difference(
    "the trailer is visible ASCII; the body has the original name", "streams.unicodeMidway", clients=(RIC3,)
)
difference("a handler that is not async may stream too", *_each("streams", "sync syncLater"))
difference(
    "as 4.0.2: a warning says that the value of the handler's promise is ignored",
    "streams.promiseStyle",
    clients=(RIC3,),
)
difference(
    "a stream that nothing can end is ended with an error; AWS's clients wait until the time-out",
    *_each("streams", "neverEnded neverWritten pending"),
)
difference(
    "an error during a stream ends it with trailers; 3.3.0 leaves it open and sends /error, 4.0.2 crashes",
    *_each("streams", "destroyed uncaught unhandled pipelineFails"),
)

# --- the log
difference("console.log() is an empty line, as in Node.js, not `undefined`", "logs.nothing")
difference(
    "each JSON line has a message, also for values without JSON",
    *[f"logs.{name} as JSON" for name in ("nothing", "undefined", "symbol", "function")],
)
difference(
    "util.format of Node.js 12 has another format",
    *_each("logs", "map cyclic table"),
    "logs.cyclic as JSON",
    "logs.table as JSON",
    nodes=OLDEST,
)
difference(
    "as 3.3.0: the first value may be the error of the line",
    "logs.errorFirst as JSON",
    "logs.twoErrors as JSON",
    clients=(RIC4,),
)
difference("as 3.3.0: each line has the tenant id", "logs.text of a tenant", clients=(RIC4,))

# --- context, environment and globals
difference(
    "the context has the properties of both clients: the callback functions of 3.3.0, xRayTraceId of 4.0.2",
    *_each("environment", "contextKeys contextValues"),
    "streams.context",
)
difference(
    "as 4.0.2: xRayTraceId; undefined instead of an empty string without a trace id",
    "environment.contextTrace",
)
difference(
    "as 3.3.0: a handler may change its context, and its response still belongs to its invocation",
    "environment.contextWritable",
    clients=(RIC4,),
)
difference(
    "copies of process.env have the trace id only if X-Ray samples: the C library keeps every value",
    "environment.variables",
)
difference("as 4.0.2: awslambda.InvokeStore", "environment.awslambda", clients=(RIC3,))
difference(
    "gc exists, as in AWS's managed runtimes, which start Node.js with --expose-gc", "environment.globals"
)
difference("as 4.0.2: an AsyncLocalStorage entered in one invocation does not reach the next",
        "environment.asyncContext", clients=(RIC3,))  # fmt: skip
difference(
    "a header that is not JSON fails only that invocation, and the error names it; 4.0.2 crashes",
    "a client context that is not JSON",
    "a Cognito identity that is not JSON",
)

difference("DEL is %7F in the log line too, as in the report", "errors.del")
difference(
    "as 3.3.0: an unhandled rejection while the module loads is an init error",
    "init/rejects.handler",
)

# --- an API that refuses
difference(
    "a refused response is logged and reported as the error of the invocation; AWS's clients ignore it",
    *[f"a response refused with {status}" for status in (413, 400, 403, 500)],
)


def reason(name, node, client):
    """Return why ours may differ from a client of AWS in a case, or None."""
    for entry in INTENDED.get(name, ()):
        if node in entry.nodes and client in entry.clients:
            return entry.reason
    return None
