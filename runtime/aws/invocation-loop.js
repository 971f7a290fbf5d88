'use strict';
// Serves one invocation after the other until Lambda ends the process.

const beforeExit = require('./before-exit.js');
const log = require('./log.js');
const traceId = require('./trace-id.js');

// Lambda starts a new process after each of them.
const EXIT_CODES = { apiLost: 1, unhandledRejection: 128, uncaughtException: 129 };

let api;
let handler = null;
let streaming = null; // { highWaterMark } of a handler that streams its response
let requestId = null; // of the invocation in progress
let latestHeaders = null; // of the latest invocation
let started = false; // the first GET /next has been sent
let exiting = false;
let abortStream = null; // ends the response stream in progress with an error
let responses;
let createContext;
let invoke;
let timeoutWarning = null;
let shutdownIsLimited = false;

function run(runtimeApi, loadHandler) {
  api = runtimeApi;
  onFatalError(exitWithError);
  beforeExit.enable();
  traceId.install();
  api.unref(); // so that the event loop is empty if the module awaits something that never comes
  beforeExit.schedule(() => failInit(require('./error-report.js').noAnswer()));
  let loaded;
  try {
    loaded = loadHandler();
  } catch (error) {
    return failInit(error);
  }
  if (typeof loaded === 'function') onHandler(loaded);
  else loaded.then(onHandler, failInit);
}

// Calls exit(label, error, exitCode) for errors that nothing has caught.
function onFatalError(exit) {
  process.on('uncaughtException', (error) => exit('Uncaught Exception', error, EXIT_CODES.uncaughtException));
  process.on('unhandledRejection', (reason) => {
    const error = require('./error-report.js').unhandledRejection(reason);
    exit('Unhandled Promise Rejection', error, EXIT_CODES.unhandledRejection);
  });
}

function exitWithoutApi(error, what) {
  log.warn(`${error.message}; ${what} ends`);
  process.exit(EXIT_CODES.apiLost);
}

function onHandler(loaded) {
  if (exiting) return;
  try {
    streaming = require('./handler-loader.js').streamingOptions(loaded);
  } catch (error) {
    return failInit(error);
  }
  handler = loaded;
  setImmediate(start); // after the event of a rejection that the module left unhandled: that is an init error
}

function start() {
  if (exiting) return;
  started = true;
  beforeExit.cancel();
  api.ref();
  api.next(onNext);
  afterInvocation();
  loadLazily();
}

// What is not needed before the first GET /next loads while Lambda answers it.
function loadLazily() {
  responses = require('./responses.js');
  if (process.env.NODELAYER_TIMEOUT_WARNING_MS) timeoutWarning = require('./timeout-warning.js');
  createContext = require('./context.js').create;
  invoke = streaming === null ? require('./invoke-buffered.js').invoke : require('./invoke-streaming.js').invoke;
}

function onNext(error, invocation) {
  if (exiting) return;
  if (error !== null) return exitWithoutApi(error, 'the process');
  // In a tick of its own: what a handler puts into its async context must not reach the next invocation.
  process.nextTick(serve, invocation);
}

function serve(invocation) {
  const headers = (latestHeaders = invocation.headers);
  requestId = invocation.id;
  log.setInvocation(requestId, headers.get('lambda-runtime-aws-tenant-id'));
  traceId.set(headers.get('lambda-runtime-trace-id'));
  let event;
  let context;
  try {
    event = JSON.parse(invocation.body);
    context = createContext(headers);
  } catch (error) {
    return fail(error);
  }
  if (timeoutWarning !== null) timeoutWarning.schedule(Number(headers.get('lambda-runtime-deadline-ms')));
  api.unref(); // now only the function's own timers and sockets keep the event loop busy
  if (streaming === null) invoke(handler, event, context, succeed, fail);
  else abortStream = invoke(api, handler, event, context, streaming.highWaterMark, { next, fail });
}

function succeed(value) {
  if (exiting) return;
  let json;
  try {
    json = responses.stringify(value);
  } catch (error) {
    return fail(error);
  }
  const id = requestId;
  requestId = null;
  api.ref();
  afterInvocation();
  responses.sendThenNext(api, id, json, onRefused, onNext);
}

function fail(thrown) {
  if (exiting) return;
  api.ref();
  responses.reportError(api, requestId, logError('Invoke Error', thrown), next);
}

function next() {
  if (exiting) return;
  requestId = abortStream = null;
  api.ref();
  afterInvocation();
  api.next(onNext);
}

function onRefused(reason) {
  return logError('Invoke Error', require('./error-report.js').responseRefused(reason));
}

// Logs what was thrown and returns the report of it.
function logError(label, thrown) {
  log.error(label, thrown);
  return require('./error-report.js').create(thrown);
}

// The function's code has run, at init or for an invocation, and may have added a SIGTERM listener.
function afterInvocation() {
  if (timeoutWarning !== null) timeoutWarning.cancel();
  if (!shutdownIsLimited && process.listenerCount('SIGTERM') > 0) {
    shutdownIsLimited = true;
    require('./shutdown.js').limit(api);
  }
}

function failInit(error) {
  exitWithError('Init Error', error, EXIT_CODES.uncaughtException);
}

function exitWithError(label, thrown, exitCode) {
  if (exiting) return;
  exiting = true;
  const report = logError(label, thrown);
  const exit = () => process.exit(exitCode);
  const { reportError, reportInitError } = require('./responses.js');
  api.ref();
  if (requestId !== null && abortStream !== null && abortStream(report, exit)) return;
  if (requestId !== null) reportError(api, requestId, report, exit);
  else if (!started) reportInitError(api, report, exit);
  else exit();
}

module.exports = { EXIT_CODES, run, onFatalError, exitWithoutApi, logError, latestHeaders: () => latestHeaders };
