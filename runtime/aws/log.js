'use strict';
// The log of the function: console.* and the runtime's own lines. Each line has a level and the id of its invocation.
// log-writer.js formats the lines and knows where they go.

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
// Libraries such as Powertools read these globals.
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');
const TENANT_ID = Symbol.for('aws.lambda.runtime.tenantId');

// What log-writer.js gets. A descriptor below 1 does not exist.
const settings = {
  levels: LEVELS,
  json: false,
  frameDescriptor: 0, // takes lines in frames
  getSocketDescriptor: () => -1, // takes JSON lines; may be lost at any time
  getInvocation: () => ({ requestId: global[REQUEST_ID], tenantId: global[TENANT_ID] }),
};
let lowestLevel = LEVELS.TRACE;
let loadedWriter = null;

function install(env) {
  settings.json = (env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
  lowestLevel = LEVELS[(env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()] || LEVELS.TRACE;
  const descriptor = Number(env._LAMBDA_TELEMETRY_LOG_FD);
  settings.frameDescriptor = Number.isInteger(descriptor) && descriptor > 0 ? descriptor : 0;
  delete env._LAMBDA_TELEMETRY_LOG_FD; // not for the programs that a function starts
  if (env.AWS_LAMBDA_MAX_CONCURRENCY !== undefined) connectSocket(env._LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET);
  for (const level of Object.keys(LEVELS)) {
    console[level.toLowerCase()] = LEVELS[level] < lowestLevel ? () => {} : (...values) => writer().writeLine(level, values);
  }
  console.log = console.info; // the same function, as on AWS: a library that wraps both is called once for a line
}

function connectSocket(path) {
  if (!path) return;
  settings.json = true; // whatever AWS_LAMBDA_LOG_FORMAT says: Lambda reads only JSON from the socket
  settings.getSocketDescriptor = require('./log-socket.js').connect(path, (reason) => {
    warn(`no connection to the log socket ${path} (${reason}): lines go to stdout from here on`);
  });
}

function setInvocation(requestId, tenantId) {
  global[REQUEST_ID] = requestId;
  global[TENANT_ID] = tenantId;
}

// For concurrent invocations: `getInvocation` returns the { requestId, tenantId } that the calling code belongs to.
function setInvocationSource(getInvocation) {
  settings.getInvocation = getInvocation;
}

// Log what was thrown, with a label such as 'Invoke Error'. Never throws.
function error(label, thrown) {
  if (LEVELS.ERROR >= lowestLevel) writer().writeError(label, thrown);
}

// Log a warning of the runtime itself.
function warn(message) {
  if (LEVELS.WARN >= lowestLevel) writer().writeLine('WARN', [message]);
}

// Loaded with the first line: a function that logs nothing starts without it.
function writer() {
  if (loadedWriter === null) {
    loadedWriter = require('./log-writer.js');
    loadedWriter.configure(settings);
  }
  return loadedWriter;
}

module.exports = { install, setInvocation, setInvocationSource, error, warn };
