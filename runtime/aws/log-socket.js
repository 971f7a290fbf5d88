'use strict';
// For concurrent invocations Lambda passes no log descriptor, but names a socket: each thread opens a connection of its
// own and writes JSON lines to it.

// Returns a function that returns the descriptor, -1 without a connection. Calls onLost(reason) once, if it is lost.
function connect(path, onLost) {
  let reason = 'it was closed';
  const socket = require('net').connect(path); // a Unix socket is connected before this returns
  socket.unref();
  socket.on('error', (error) => {
    reason = error.code || error.message;
  });
  socket.on('close', () => onLost(reason));
  return () => (socket._handle && !socket.destroyed && socket._handle.fd >= 0 ? socket._handle.fd : -1);
}

module.exports = { connect };
