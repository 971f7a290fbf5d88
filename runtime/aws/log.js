'use strict';
// The log: console.* and the runtime's own lines, by level, each with the request it belongs to. What a line looks like
// and where it goes is in log-writer.js.

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
// Libraries such as Powertools read these.
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');
const TENANT_ID = Symbol.for('aws.lambda.runtime.tenantId');

// For log-writer.js. telemetry: the descriptor that takes frames, if Lambda gave one; socket: gives the one that takes lines.
const settings = { json: false, telemetry: 0, socket: () => -1 };
let lowest = LEVELS.TRACE;
let store = null;

function install(env) {
  settings.json = upper(env.AWS_LAMBDA_LOG_FORMAT) === 'JSON';
  lowest = LEVELS[upper(env.AWS_LAMBDA_LOG_LEVEL)] || LEVELS.TRACE;
  const descriptor = Number(env._LAMBDA_TELEMETRY_LOG_FD);
  settings.telemetry = Number.isInteger(descriptor) && descriptor > 0 ? descriptor : 0;
  delete env._LAMBDA_TELEMETRY_LOG_FD; // not for the programs that a function starts
  if (env.AWS_LAMBDA_MAX_CONCURRENCY !== undefined) openSocket(env._LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET);
  for (const level of Object.keys(LEVELS)) {
    console[level.toLowerCase()] = LEVELS[level] < lowest ? () => {} : (...values) => emit(level, values);
  }
  console.log = console.info; // one function, as on AWS: who wraps both is not called twice for it
}

function openSocket(path) {
  if (!path) return;
  settings.json = true; // whatever the function asks for: Lambda reads nothing else there
  settings.socket = require('./log-socket.js').connect(path, (why) => {
    system(`no connection to the log socket ${path} (${why}): lines go to stdout from here on`);
  });
}

function upper(text) {
  return text ? text.toUpperCase() : '';
}

function setInvocation(requestId, tenantId) {
  global[REQUEST_ID] = requestId;
  global[TENANT_ID] = tenantId;
}

// With several invocations at a time: a function that returns the { requestId, tenantId } of the one that is asking.
function setStore(getStore) {
  store = getStore;
}

function current() {
  return (store && store()) || { requestId: global[REQUEST_ID], tenantId: global[TENANT_ID] };
}

function emit(level, values) {
  require('./log-writer.js').emit(level, values);
}

// A line of the runtime itself about what was thrown: 'Invoke Error', 'Uncaught Exception' and so on. Never throws.
function error(label, thrown) {
  if (LEVELS.ERROR >= lowest) require('./log-writer.js').error(label, thrown);
}

// A line of the runtime about itself.
function system(message) {
  if (LEVELS.WARN >= lowest) emit('WARN', [String(message)]);
}

module.exports = { LEVELS, settings, current, install, setInvocation, setStore, error, system };
