'use strict';
// What socket.js does, on `net`: for an address that is a name, and where Node.js does not give its handles away.

function connect(host, port, onData, onClose) {
  const socket = require('net').connect(port, host);
  let failure = null;
  socket.setNoDelay(true);
  socket.on('data', (chunk) => onData(chunk, chunk.length));
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('end', () => socket.destroy());
  socket.on('close', () => onClose(failure));
  return {
    write: (text) => socket.write(text),
    writeAll(buffers, done) {
      socket.cork();
      for (const each of buffers) socket.write(each);
      socket.write('', () => done && done());
      socket.uncork();
    },
    ref: () => socket.ref(),
    unref: () => socket.unref(),
    close() {
      socket.removeAllListeners('close');
      socket.destroy();
    },
  };
}

module.exports = { connect };
