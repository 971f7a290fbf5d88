'use strict';
// A TCP connection on libuv's own handle. Loading `net` alone costs a tenth of a cold start, and its streams a third of
// a warm invocation; where the handle is not to be had (an address that is a name, Node.js's permission model), `net`
// does the same work.

const READ_BYTES = 64 * 1024;
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/;
const END = -4095; // UV_EOF

// Gives { write(text), writeAll(buffers, done), ref(), unref(), close() }. `onData(bytes, length)` gets a buffer that is
// used again afterwards; `onClose(error)` comes once, with null where the other side ended, and never after close().
function connect(host, port, onData, onClose) {
  const bindings = IPV4.test(host) ? raw() : null;
  if (bindings === null) return require('./socket-net.js').connect(host, port, onData, onClose);
  return overHandle(bindings, host, port, onData, onClose);
}

let found;

function raw() {
  if (found !== undefined) return found;
  const told = process.noDeprecation;
  try {
    process.noDeprecation = true; // DEP0111 under --pending-deprecation: nothing the function's author could change
    const tcp = process.binding('tcp_wrap');
    const stream = process.binding('stream_wrap');
    const whole = tcp.TCP && tcp.TCPConnectWrap && stream.WriteWrap && stream.streamBaseState;
    found = whole && typeof tcp.TCP.prototype.useUserBuffer === 'function' ? { tcp, stream } : null;
  } catch (error) {
    found = null;
  }
  process.noDeprecation = told;
  return found;
}

function overHandle(bindings, host, port, onData, onClose) {
  const { TCP, TCPConnectWrap, constants } = bindings.tcp;
  const { WriteWrap, kReadBytesOrError, kLastWriteWasAsync, streamBaseState } = bindings.stream;
  const handle = new TCP(constants.SOCKET);
  const bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  let open = true;
  let request = new WriteWrap();

  function fail(status, what) {
    if (!open) return;
    open = false;
    handle.close();
    onClose(status === END ? null : systemError(status, what));
  }

  handle.onread = () => {
    const read = streamBaseState[kReadBytesOrError];
    if (read > 0) onData(bytes, read);
    else if (read < 0) fail(read, 'read');
  };

  function sent(status, start) {
    if (status !== 0) return process.nextTick(fail, status, 'write');
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      if (start) process.nextTick(start);
      return;
    }
    request.oncomplete = (late) => {
      if (late < 0) fail(late, 'write');
      else if (start) start();
    };
    request = new WriteWrap(); // that one is libuv's until it is done
  }

  const connecting = new TCPConnectWrap();
  connecting.oncomplete = (status) => {
    if (status < 0) return fail(status, 'connect');
    handle.useUserBuffer(bytes); // once: Node.js keeps something for each call until the connection ends
    handle.readStart();
  };
  const refused = handle.connect(connecting, host, port);
  if (refused) process.nextTick(fail, refused, 'connect');
  else handle.setNoDelay(true);

  return {
    write(text) {
      if (open) sent(handle.writeUtf8String(request, text));
    },
    writeAll(buffers, done) {
      if (open) sent(handle.writev(request, buffers, true), done);
    },
    ref() {
      if (open) handle.ref();
    },
    unref() {
      if (open) handle.unref();
    },
    close() {
      if (!open) return;
      open = false;
      handle.close();
    },
  };
}

function systemError(status, what) {
  const util = require('util');
  const code = util.getSystemErrorName(status);
  return Object.assign(new Error(`${what} ${code}`), { code, syscall: what });
}

module.exports = { connect };
