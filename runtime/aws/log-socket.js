'use strict';
// Where several invocations run at once, Lambda gives no descriptor for the log but names a socket: each thread opens a
// connection of its own and writes JSON lines to it.

// Gives descriptor(): -1 where there is no connection, or none any more. `onLost(why)` is called once, if it is lost.
function connect(path, onLost) {
  let why = 'it was closed';
  const socket = require('net').connect(path); // to a path the connection is made before this returns
  socket.unref();
  socket.on('error', (error) => {
    why = error.code || error.message;
  });
  socket.on('close', () => onLost(why));
  return () => (socket._handle && !socket.destroyed && socket._handle.fd >= 0 ? socket._handle.fd : -1);
}

module.exports = { connect };
