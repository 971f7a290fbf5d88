"""Every difference between AWS's clients and ours that is meant, with its reason.

What ours does instead stands in outcomes.json, case by case; NODELAYER_RECORD_OUTCOMES=1 writes that file
anew, and what changed in it is to be read like code. A difference that is not listed makes a test fail, and
so does an entry that has become untrue.
"""

from dataclasses import dataclass

from runtime.cases import BOTH, OURS, RIC3, RIC4

OLDEST = OURS[:1]
NEWER = OURS[1:]


@dataclass(frozen=True)
class Intended:
    """Why ours differs from these clients of AWS, on these versions of Node.js."""

    why: str
    unlike: tuple[str, ...]
    nodes: tuple[str, ...]


INTENDED: dict[str, list[Intended]] = {}


def because(why, *names, unlike=BOTH, nodes=OURS):
    for name in names:
        INTENDED.setdefault(name, []).append(Intended(why, unlike, nodes))


def _each(file, names):
    return [f"{file}.{name}" for name in names.split()]


# --- answers
because(
    "what has no JSON is said with its reason; 4.0.2 gives the name alone, for functions and symbols neither",
    *_each("values", "function symbol bigInt cyclic throwingToJson throwingGetter undefinedToJson"),
)
because(
    "as 4.0.2: what a plain function returns is its answer; 3.3.0 takes a callback or a promise only",
    *_each("plain", "object text zero false objectWithTimer notQuiteThenable generator asyncIterable"),
    unlike=(RIC3,),
)
because(
    "as 4.0.2: every thenable is awaited; 3.3.0 wants a promise with catch, and awaits one level",
    *_each("plain", "thenable rejectingThenable thenableOfThenable"),
    unlike=(RIC3,),
)
because(
    "a promise that nothing can settle is an error; 3.3.0 answers null, 4.0.2 ends without a word",
    *_each("plain", "pending pendingWithTimer"),
)
because("a handler is called without `this`: AWS's is the runtime itself", "plain.this")
because(
    "as 4.0.2: an answer that has no JSON fails that invocation; 3.3.0 lets the process crash",
    "callbacks.unserialisable",
    unlike=(RIC3,),
)
because(
    "an event that is no JSON fails that invocation; 4.0.2 crashes and takes the process along",
    "an event that is no JSON",
    "an empty event",
    unlike=(RIC4,),
)
because(
    "V8 of Node.js 12 has other words for it",
    "an event that is no JSON",
    "init/exports.class",
    unlike=(RIC3,),
    nodes=OLDEST,
)
because("V8 of Node.js 12 has other words for it", "init/exports.class", unlike=(RIC4,), nodes=OLDEST)

# --- errors
because(
    "an object without words of its own is told as JSON, not as [object Object]",
    "errors.object",
    "errors.array",
)
because("an object without words of its own is told as JSON", "callbacks.objectError", unlike=(RIC3,))
because("an object without words of its own is told as JSON", "init/throwsObject.handler")
because(
    "errorType is never empty, and no odd property makes an error's other ones disappear",
    *_each(
        "errors", "emptyName numberName undefinedName objectMessage undefinedMessage noStack stackIsArray"
    ),
    *_each("errors", "throwingMessage throwingStack errorPrototype proxied"),
)
because(
    "the causes of an error follow its stack",
    *_each("errors", "withCause causeOption aggregate"),
)
because(
    "the causes of an error follow its stack: here, what the promise was rejected with",
    *_each("crash", "unhandled unhandledText unhandledNothing unhandledObject unhandledSync"),
    "crash.unhandled as JSON",
    "init/rejectsLater.handler",
    unlike=(RIC3,),
)
because(
    "null is told as null: for 4.0.2 it is an object, for 3.3.0 no error at all",
    *_each("errors", "null thrownNullSync"),
    "init/throwsNull.handler",
)
because("null is told as null", "crash.uncaughtNull", unlike=(RIC3,))
because(
    "as 4.0.2: undefined is told as undefined",
    *_each("errors", "undefined rejectedNothing thrownUndefinedSync"),
    "init/throwsUndefined.handler",
    unlike=(RIC3,),
)
because("as 4.0.2: a symbol is told by its words; 3.3.0 fails on it", "errors.symbol", unlike=(RIC3,))
because(
    "what cannot be made a text is told all the same; 4.0.2 crashes on it, 3.3.0 reports its own failure",
    *_each("errors", "noPrototype throwingToString"),
)
because(
    "an error is known by its looks too, one of another realm among them, in the report and in the log",
    *_each("errors", "errorLike realm"),
)
because(
    "one property that JSON does not take leaves the others in the log",
    *_each("errors", "throwingExtra cyclic big"),
)
because(
    "a message of 50 kB stands once in the report, not in its trace and its log line again", "errors.huge"
)

# --- the end of the process
because(
    "the process ends at once; AWS's, waiting for the next event in native code, only when that has come",
    "crash.exitAfterwards",
)
because(
    "the process ends at once; AWS's, waiting for the next event in native code, only when that has come",
    *_each("crash", "afterwards afterwardsRejected"),
    unlike=(RIC3,),
)
because(
    "as 3.3.0: what is thrown while a top-level await waits is reported; 4.0.2 crashes",
    "init/throwsDuring.handler",
    unlike=(RIC4,),
)
because(
    "a module that can never be loaded is reported; AWS's clients end without a word", "init/pending.handler"
)

# --- loading
because(
    "as 4.0.2: a syntax error shows its file and line",
    *[f"init/{name}.handler" for name in ("syntax", "syntaxBelow")],
    unlike=(RIC3,),
)
because(
    "as 4.0.2: a syntax error shows its file and line",
    "init/lacksNameEsm.handler",
    unlike=(RIC3,),
    nodes=NEWER,
)
because(
    "a syntax error of an ES module shows its file and line too, and each trace begins with the error's name",
    *[f"init/{name}.handler" for name in ("syntaxEsm", "syntaxJson", "evalSyntax")],
)
because(
    "the trace of a missing module shows who asked for it",
    *[f"init/{name}.handler" for name in ("lacks", "lacksFile", "requireError")],
)
because(
    "what an ES module lacks has the name that it has for a CommonJS module",
    *[f"init/{name}.handler" for name in ("lacksEsm", "lacksFileEsm")],
)
because(
    "Node.js 12.16 has no ES modules without a flag: the error says what to do",
    *[f"init/{name}.handler" for name in ("throwsEsm", "lacksNameEsm")],
    "modules/esm/inner/inner.handler",
    nodes=OLDEST,
)
because(
    "Node.js 12.16 has no ES modules without a flag, no require of them, no `exports` in package.json",
    *[f"modules/{name}.handler" for name in ("requiresEsm", "importsLazily", "requiresDual")],
    nodes=OLDEST,
)
because("Node.js 12.16 warns of its flag for ES modules", "modules/ecma with a flag")
because(
    "Node.js 12.16 pays no heed to a package.json that it need not read",
    "modules/badPackage/module.handler",
    nodes=OLDEST,
)
because(
    "as 4.0.2: a broken package.json is an error; 3.3.0 warns before it comes to the same",
    "modules/badPackage/module.handler",
    unlike=(RIC3,),
    nodes=NEWER,
)
because(
    "a handler name that is none is said with the name, and with what one looks like",
    *[
        f"handler name {name!r}"
        for name in ("index", "index.", ".handler", "index.handler.", "modules", "modules/")
    ],
    *[f"handler name {name!r}" for name in ("../function/index.handler", "index..handler")],
    *_each("init/exports", "nested."),
    "init/exports.",
    "init/exports..handler",
)
because(
    "as 4.0.2: an absolute path is one; 3.3.0 looks for it below the task root",
    "handler name '{function}/modules/common.handler'",
    unlike=(RIC3,),
)
because(
    "as 3.3.0: a handler name that begins with a slash is an absolute path; 4.0.2 drops the slash",
    "handler name '/index.handler'",
    unlike=(RIC4,),
)
because(
    "as 3.3.0: properties of functions and classes are found; 4.0.2 looks into plain objects only",
    "init/exports.function.property",
    "init/exports.class.handler",
    unlike=(RIC4,),
)
because("a CommonJS module's own `default` is found; 4.0.2 takes it for the whole module",
        "handler name 'index.default'", unlike=(RIC4,))  # fmt: skip
because("as 3.3.0: a promise of the exports is awaited", "modules/promised.handler", unlike=(RIC4,))
because(
    "as 3.3.0: a folder is its index, or the main file of its package.json",
    "modules/folder.handler",
    "modules/pkgmain.handler",
    unlike=(RIC4,),
)
because("as 4.0.2: the default export is looked into as well", "modules/ecma.only", unlike=(RIC3,))
because(
    "the default export is looked into as well, in CommonJS modules too: transpilers write them",
    "modules/defaultOnly.handler",
    "modules/transpiled.other",
)
because("a JSON file is loaded like any module, and has no function in it", "modules/data.handler")
because(
    "as 4.0.2: an ES module known by its syntax may await",
    "modules/esmAwaitSyntax.handler",
    unlike=(RIC3,),
)
because(
    "import finds the packages of layers, as in AWS's managed runtimes, whose Node.js is patched for it",
    "modules/layeredEsm.handler",
)
because("a handler is called without `this`, which is what these print",
        "init/exports.toString", "init/exports.__proto__.toString")  # fmt: skip
because(
    "3.3.0 has a bug here: it does not know the error's class", "init/badStreaming.handler", unlike=(RIC3,)
)

# --- streams
because(
    "end takes what write takes; 3.3.0 and 4.0.2 leave objects to Node.js, which refuses them",
    *_each("streams", "endWithObject shape"),
)
because("null is JSON as well", "streams.writesNull")
because(
    "an error before the first byte is reported as one; AWS's clients begin a response and add trailers",
    *_each("streams", "writesUndefined httpUndefined throwsFirst throwsText syncThrows"),
)
because(
    "the prelude of an HTTP response goes out before the body that end was given, and where there is none",
    *_each("streams", "httpEndText httpEndOnly"),
)
because("a trailer is visible ASCII; the body has the name as it is", "streams.unicodeMidway", unlike=(RIC3,))
because("a handler that is no async function may stream as well", *_each("streams", "sync syncLater"))
because("as 4.0.2: what a promise of the handler gives is told to be ignored", "streams.promiseStyle",
        unlike=(RIC3,))  # fmt: skip
because(
    "a stream that nobody will end is ended with an error; AWS's clients wait for ever",
    *_each("streams", "neverEnded neverWritten pending"),
)
because(
    "what breaks a stream ends it with trailers; 3.3.0 leaves it open and sends /error, 4.0.2 crashes",
    *_each("streams", "destroyed uncaught unhandled"),
)

# --- the log
because("console.log() is an empty line, as Node.js has it, not `undefined`", "logs.nothing")
because(
    "each line of JSON has a message, of what has no JSON too",
    *[f"logs.{name} as JSON" for name in ("nothing", "undefined", "symbol", "function")],
)
because(
    "util.format of Node.js 12 writes it so",
    *_each("logs", "map cyclic table"),
    "logs.cyclic as JSON",
    "logs.table as JSON",
    nodes=OLDEST,
)
because(
    "as 3.3.0: the first value counts when an error is looked for",
    "logs.errorFirst as JSON",
    "logs.twoErrors as JSON",
    unlike=(RIC4,),
)
because("as 3.3.0: the tenant stands in each line", "logs.text of a tenant", unlike=(RIC4,))

# --- what surrounds a handler
because(
    "the context has what both clients have: the callback's side of 3.3.0, xRayTraceId of 4.0.2",
    *_each("surroundings", "contextKeys contextKinds contextSpread contextValues"),
    "streams.context",
)
because(
    "as 4.0.2: xRayTraceId; undefined where there is none, not an empty text", "surroundings.contextTrace"
)
because(
    "as 3.3.0: a handler may change its context, and answers for its own invocation all the same",
    "surroundings.contextWritable",
    unlike=(RIC4,),
)
because("as 4.0.2: awslambda.InvokeStore", "surroundings.awslambda", unlike=(RIC3,))
because(
    "Node.js is told the size of its heap, as AWS's managed runtimes tell it; AWS's client alone is not",
    "surroundings.argv",
    nodes=NEWER,
)
because(
    "gc is there, as in AWS's managed runtimes, which start Node.js with --expose-gc", "surroundings.globals"
)
because("as 4.0.2: an AsyncLocalStorage entered in one invocation does not reach the next",
        "surroundings.asyncContext", unlike=(RIC3,))  # fmt: skip
because(
    "a header that is no JSON fails that invocation, in words that say which; 4.0.2 crashes",
    "a client context that is no JSON",
    "a Cognito identity that is no JSON",
)

because("DEL is %7F in the log line too, as it is in the report", "errors.del")
because(
    "as 3.3.0, an unhandled rejection while the module loads is an error of the start; without the promise",
    "init/rejects.handler",
)

# --- an API that refuses
because(
    "a refused response is said in the log and reported as the invocation's error; AWS's clients go on",
    *[f"a response refused with {status}" for status in (413, 400, 403, 500)],
)


def reason(name, node, client):
    """Why ours may differ in a case from a client of AWS, or None."""
    for entry in INTENDED.get(name, ()):
        if node in entry.nodes and client in entry.unlike:
            return entry.why
    return None
