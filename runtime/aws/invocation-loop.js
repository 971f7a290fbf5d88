'use strict';
// One invocation after the other for as long as Lambda lets us live. Exit codes: 1 when the Runtime API is gone, 128 for
// an unhandled rejection, 129 for an uncaught exception; Lambda then starts a new process.

const idle = require('./before-exit.js');
const log = require('./log.js');
const trace = require('./trace-id.js');

const EXIT_API = 1;
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;

let api;
let handler = null;
let streaming = null; // { highWaterMark } for a handler that answers through a stream
let current = null; // the request id of the invocation being worked on
let headers = null; // of the invocation that came last
let started = false; // the first GET /next is out
let dying = false;
let crash = null; // ends the response stream that is under way with an error
let answers = null; // what the invocations need, loaded while Lambda answers the first GET
let outcome;
let createContext;
let invoke;
let bounded = false; // SIGTERM has a listener of the function's own, and ours behind it
let deadline = null; // the watch over time-outs, for those who asked for it

function run(connected, load) {
  api = connected;
  process.on('uncaughtException', (error) => die('Uncaught Exception', error, EXIT_EXCEPTION));
  process.on('unhandledRejection', (reason) => die('Unhandled Promise Rejection', require('./error-report.js').rejection(reason), EXIT_REJECTION));
  idle.watch();
  trace.install();
  api.unref(); // a module that waits for what never comes shall be found out
  idle.then(() => die('Init Error', idle.neverAnswered(), EXIT_EXCEPTION));
  let loaded;
  try {
    loaded = load();
  } catch (error) {
    return die('Init Error', error, EXIT_EXCEPTION);
  }
  if (typeof loaded === 'function') ready(loaded);
  else loaded.then(ready, (error) => die('Init Error', error, EXIT_EXCEPTION));
}

function ready(loaded) {
  if (dying) return;
  try {
    const metadata = require('./handler-loader.js').metadata(loaded);
    if (metadata.streaming) streaming = metadata;
  } catch (error) {
    return die('Init Error', error, EXIT_EXCEPTION);
  }
  handler = loaded;
  setImmediate(begin); // a rejection that loading left unhandled comes before that, and is an error of the start
}

function begin() {
  if (dying) return;
  started = true;
  idle.reset();
  api.ref();
  api.next(onNext);
  afterwards();
  equip();
  if (process.env.NODELAYER_TIMEOUT_WARNING_MS) deadline = require('./timeout-warning.js');
  createContext = require('./context.js').create;
  invoke = streaming === null ? require('./invoke-buffered.js').invoke : require('./invoke-streaming.js').invoke;
}

// With what nothing needs before the first GET is out, or before something has failed.
function equip() {
  if (answers !== null) return;
  answers = require('./responses.js');
  outcome = require('./error-report.js');
}

function onNext(error, invocation) {
  if (dying) return;
  if (error !== null) {
    log.system(`${error.message}; the process ends`);
    process.exit(EXIT_API);
  }
  // A tick of its own: what a handler puts into its async context does not reach the next invocation.
  process.nextTick(serve, invocation);
}

function serve(invocation) {
  const id = (current = invocation.id);
  headers = invocation.headers;
  log.setInvocation(id, headers.get('lambda-runtime-aws-tenant-id'));
  trace.set(headers.get('lambda-runtime-trace-id'));
  let event;
  let context;
  try {
    event = JSON.parse(invocation.body);
    context = createContext(headers);
  } catch (error) {
    return fail(error);
  }
  if (deadline !== null) deadline.watch(Number(headers.get('lambda-runtime-deadline-ms')));
  api.unref(); // the function's own timers and sockets alone keep the event loop busy now
  if (streaming === null) invoke(handler, event, context, succeed, fail);
  else crash = invoke(api, handler, event, context, streaming.highWaterMark, { next, fail, report: outcome.report });
}

function succeed(value) {
  if (dying) return;
  let json;
  try {
    json = outcome.stringify(value);
  } catch (error) {
    return fail(error);
  }
  const id = current;
  current = null;
  api.ref();
  afterwards();
  answers.answer(api, id, json, onRefused, onNext);
}

function fail(thrown) {
  if (dying) return;
  log.error('Invoke Error', thrown);
  api.ref();
  answers.fail(api, current, outcome.report(thrown), next);
}

function next() {
  if (dying) return;
  current = crash = null;
  api.ref();
  afterwards();
  api.next(onNext);
}

function onRefused(why) {
  const error = outcome.refusal(why);
  log.error('Invoke Error', error);
  return outcome.report(error);
}

// The user's code has run: what did it leave?
function afterwards() {
  if (deadline !== null) deadline.clear();
  if (!bounded && process.listenerCount('SIGTERM') > 0) bounded = require('./shutdown.js').bound(api);
}

function die(label, thrown, code) {
  if (dying) return;
  dying = true;
  log.error(label, thrown);
  equip();
  const end = () => process.exit(code);
  api.ref();
  if (current !== null && crash !== null && crash(outcome.report(thrown), end)) return;
  if (current !== null) answers.fail(api, current, outcome.report(thrown), end);
  else if (!started) answers.failInit(api, outcome.report(thrown), end);
  else end();
}

module.exports = { run, headers: () => headers };
