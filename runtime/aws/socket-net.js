'use strict';
// The connection of socket.js on `net`.

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
    writeAll(buffers, onSent) {
      socket.cork();
      for (const buffer of buffers) socket.write(buffer);
      socket.write('', () => onSent && onSent());
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
