'use strict';
// Asked for by NODELAYER_TIMEOUT_WARNING_MS: shortly before an invocation would time out, a line that names what still
// keeps the event loop busy. A time-out in Lambda's log otherwise says nothing of its reason.

const log = require('./log.js');

const MOST_NAMED = 20;
const later = setTimeout;
const now = Date.now;

let timer = null;

// Called when an invocation begins, with its deadline in milliseconds since 1970.
function watch(deadline) {
  clear();
  const left = deadline - Number(process.env.NODELAYER_TIMEOUT_WARNING_MS) - now();
  if (!(left > 0)) return;
  timer = later(() => log.system(`This invocation times out in ${deadline - now()} ms. ${busy()}`), left);
  timer.unref(); // a timer that waits for an idle event loop must not keep it busy
}

function clear() {
  if (timer !== null) clearTimeout(timer);
  timer = null;
}

function busy() {
  const counts = new Map();
  for (const name of [...sockets(), ...others()]) counts.set(name, (counts.get(name) || 0) + 1);
  if (counts.size === 0 && typeof process.getActiveResourcesInfo === 'function') return 'Nothing keeps the event loop busy: the handler waits for something that will not come.';
  if (counts.size === 0) return 'No socket and no request keeps the event loop busy; timers cannot be seen on this Node.js.';
  const named = [...counts].slice(0, MOST_NAMED).map(([name, count]) => (count > 1 ? `${count} × ${name}` : name));
  if (counts.size > MOST_NAMED) named.push('more');
  const blind = typeof process.getActiveResourcesInfo === 'function' ? '' : ' Timers cannot be seen on this Node.js.';
  return `Still busy: ${named.join(', ')}.${blind}`;
}

// With the address at the other end, which tells most. Neither what is sent nor how one signs in is looked at.
function sockets() {
  return process._getActiveHandles().filter(isSocket).map((socket) => {
    const server = typeof socket.address === 'function' && socket.server === undefined && !socket.remoteAddress;
    if (socket.remoteAddress) return `connection to ${socket._host || socket.remoteAddress}:${socket.remotePort}`;
    if (socket.connecting) return `connection to ${socket._host || 'somewhere'}, not made yet`;
    return server ? 'socket' : 'connection that was closed';
  });
}

function isSocket(handle) {
  return handle !== null && typeof handle === 'object' && handle.constructor && /Socket$/.test(handle.constructor.name);
}

function others() {
  if (typeof process.getActiveResourcesInfo === 'function') {
    return process.getActiveResourcesInfo().filter((name) => !/^(TCPSocketWrap|TCPWRAP|TTYWrap|Immediate)$/.test(name)).map(plain);
  }
  const requests = process._getActiveRequests().map((request) => request.constructor.name);
  const handles = process._getActiveHandles().filter((handle) => !isSocket(handle)).map((handle) => handle.constructor.name);
  return [...requests, ...handles].map(plain);
}

const PLAIN = {
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

function plain(name) {
  return PLAIN[name] || name;
}

module.exports = { watch, clear };
