'use strict';
// The time-out warning: if NODELAYER_TIMEOUT_WARNING_MS is set, a log line that long before the time-out names what keeps
// the event loop busy. Lambda's own line about a time-out gives no reason.

const log = require('./log.js');

const MAX_NAMES = 20;
const SEES_TIMERS = typeof process.getActiveResourcesInfo === 'function';
// Names of Node.js's resources in the warning. Any other resource has its own name there.
const NAMES = {
  Timeout: 'timer',
  FSReqCallback: 'file operation',
  FSReqPromise: 'file operation',
  GetAddrInfoReqWrap: 'name look-up',
  ProcessWrap: 'child process',
  ChildProcess: 'child process',
  TCPServerWrap: 'server',
  Server: 'server',
  PipeWrap: 'pipe',
  MessagePort: 'worker',
  Worker: 'worker',
};
// The function may replace these globals.
const startTimer = setTimeout;
const now = Date.now;

let timer = null;

// Start the timer for an invocation. `deadline` is in milliseconds since 1970.
function schedule(deadline) {
  cancel();
  const delay = deadline - Number(process.env.NODELAYER_TIMEOUT_WARNING_MS) - now();
  if (!(delay > 0)) return;
  timer = startTimer(() => log.warn(message(deadline - now())), delay);
  timer.unref(); // it must not keep the event loop busy itself
}

function cancel() {
  if (timer !== null) clearTimeout(timer);
  timer = null;
}

function message(millisecondsLeft) {
  return `This invocation times out in ${millisecondsLeft} ms. ${reason(countedNames())}`;
}

function reason(names) {
  if (names.length > 0) return `Still busy: ${names.join(', ')}.${SEES_TIMERS ? '' : ' Timers cannot be seen on this Node.js.'}`;
  if (SEES_TIMERS) return 'Nothing keeps the event loop busy: the handler waits for something that will not come.';
  return 'No socket and no request keeps the event loop busy; timers cannot be seen on this Node.js.';
}

function countedNames() {
  const counts = new Map();
  for (const name of [...socketNames(), ...otherNames()]) counts.set(name, (counts.get(name) || 0) + 1);
  const names = [...counts].slice(0, MAX_NAMES).map(([name, count]) => (count > 1 ? `${count} × ${name}` : name));
  return counts.size > MAX_NAMES ? [...names, 'more'] : names;
}

// Only addresses are read: data and credentials must not reach the log.
function socketNames() {
  return process._getActiveHandles().filter(isSocket).map((socket) => {
    if (socket.remoteAddress) return `connection to ${socket._host || socket.remoteAddress}:${socket.remotePort}`;
    if (socket.connecting) return `connection to ${socket._host || 'somewhere'}, not made yet`;
    return typeof socket.address === 'function' && socket.server === undefined ? 'socket' : 'connection that was closed';
  });
}

function isSocket(handle) {
  return handle !== null && typeof handle === 'object' && handle.constructor && /Socket$/.test(handle.constructor.name);
}

function otherNames() {
  const names = SEES_TIMERS
    ? process.getActiveResourcesInfo().filter((name) => !/^(TCPSocketWrap|TCPWRAP|TTYWrap|Immediate)$/.test(name))
    : [...process._getActiveRequests(), ...process._getActiveHandles().filter((handle) => !isSocket(handle))].map(
        (resource) => resource.constructor.name
      );
  return names.map((name) => NAMES[name] || name);
}

module.exports = { schedule, cancel };
