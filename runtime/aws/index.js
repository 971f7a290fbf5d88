'use strict';
// The runtime: load the handler once, then take one invocation after the other for as long as Lambda lets us live.
// Exit codes: 1 when initialisation failed or the Runtime API is gone, 128 for an unhandled rejection, 129 for an
// uncaught exception; Lambda then starts a new process.

const api = require('./api.js').connect(process.env.AWS_LAMBDA_RUNTIME_API);
const createContext = require('./context.js').create;
const errors = require('./errors.js');
const invoke = require('./invoke.js').invoke;
const loadHandler = require('./handler.js').load;

const EXIT_INIT = 1;
const EXIT_API = 1;
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;

let current = null; // the request id of the invocation being worked on
let dying = false;

async function main() {
  let handler;
  try {
    handler = loadHandler(process.env.LAMBDA_TASK_ROOT || process.cwd(), process.env._HANDLER);
  } catch (error) {
    return die(EXIT_INIT, errors.describe(error));
  }
  for (;;) await serve(handler, await api.next());
}

async function serve(handler, invocation) {
  current = invocation.requestId;
  setTraceId(invocation.headers['lambda-runtime-trace-id']);
  let failure = null;
  try {
    const event = parse(invocation.body);
    const answer = stringify(await invoke(handler, event, createContext(invocation.headers)));
    if (!dying) failure = await api.answer(current, answer);
  } catch (error) {
    failure = error;
  }
  if (dying) return forever(); // the process is on its way out, and has told its last invocation so
  if (failure !== null) {
    const report = errors.describe(failure);
    log(report);
    await api.fail(current, report);
  }
  current = null;
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw errors.named('Runtime.MalformedEvent', `the event is not JSON: ${error.message}`);
  }
}

function stringify(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw errors.named('Runtime.JSONStringifyError', `the answer cannot be made JSON: ${error.message}`);
  }
  return text === undefined ? 'null' : text; // undefined, a function and a symbol have no JSON
}

function setTraceId(id) {
  if (id) process.env._X_AMZN_TRACE_ID = id;
  else delete process.env._X_AMZN_TRACE_ID;
}

function log(report) {
  const id = current === null ? '' : ` ${current}`;
  console.error(`${new Date().toISOString()}${id} ERROR ${report.trace.join('\n')}`);
}

async function die(code, report) {
  if (dying) return forever();
  dying = true;
  log(report);
  try {
    await (current === null ? api.failInit(report) : api.fail(current, report));
  } finally {
    process.exit(code);
  }
}

function forever() {
  return new Promise(() => {});
}

process.on('uncaughtException', (error) => {
  die(EXIT_EXCEPTION, errors.describe(error)).catch(() => {});
});
process.on('unhandledRejection', (reason) => {
  const report = errors.describe(reason);
  die(EXIT_REJECTION, { ...report, errorType: 'Runtime.UnhandledPromiseRejection' }).catch(() => {});
});

main().catch((error) => {
  console.error(`nodelayer: ${error.message}`);
  process.exit(EXIT_API);
});
