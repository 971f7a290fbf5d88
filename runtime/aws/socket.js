'use strict';
// A TCP connection on libuv's handle, without `net`: loading `net` takes a tenth of a cold start, and its streams a third
// of a warm invocation. socket-net.js replaces it if the address is a host name or Node.js refuses access to the handle
// (its permission model).

const READ_BYTES = 64 * 1024;
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/;
const END = -4095; // UV_EOF

// Returns { write(text), writeAll(buffers, onSent), ref(), unref(), close() }. The buffer that onData(bytes, length) gets
// is reused afterwards. onClose(error) is called once, with null if the other side ended, and never after close().
function connect(host, port, onData, onClose) {
  const bindings = IPV4.test(host) ? loadBindings() : null;
  if (bindings === null) return require('./socket-net.js').connect(host, port, onData, onClose);
  return connectHandle(bindings, host, port, onData, onClose);
}

let cachedBindings;

function loadBindings() {
  if (cachedBindings !== undefined) return cachedBindings;
  const noDeprecation = process.noDeprecation;
  try {
    process.noDeprecation = true; // no warning DEP0111: the author of the function cannot change it
    const tcp = process.binding('tcp_wrap');
    const stream = process.binding('stream_wrap');
    const complete = tcp.TCP && tcp.TCPConnectWrap && stream.WriteWrap && stream.streamBaseState;
    cachedBindings =
      complete && typeof tcp.TCP.prototype.useUserBuffer === 'function' ? { tcp, stream } : null;
  } catch (error) {
    cachedBindings = null;
  }
  process.noDeprecation = noDeprecation;
  return cachedBindings;
}

function connectHandle(bindings, host, port, onData, onClose) {
  const { TCP, TCPConnectWrap, constants } = bindings.tcp;
  const { WriteWrap, kReadBytesOrError, kLastWriteWasAsync, streamBaseState } = bindings.stream;
  const handle = new TCP(constants.SOCKET);
  const bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  let open = true;
  let request = new WriteWrap();

  function fail(status, syscall) {
    if (!open) return;
    open = false;
    handle.close();
    onClose(status === END ? null : systemError(status, syscall));
  }

  handle.onread = () => {
    const read = streamBaseState[kReadBytesOrError];
    if (read > 0) onData(bytes, read);
    else if (read < 0) fail(read, 'read');
  };

  function afterWrite(status, onSent) {
    if (status !== 0) return process.nextTick(fail, status, 'write');
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      if (onSent) process.nextTick(onSent);
      return;
    }
    request.oncomplete = (lateStatus) => {
      if (lateStatus < 0) fail(lateStatus, 'write');
      else if (onSent) onSent();
    };
    request = new WriteWrap(); // libuv uses the other one until the write is complete
  }

  const connecting = new TCPConnectWrap();
  connecting.oncomplete = (lateStatus) => {
    if (lateStatus < 0) return fail(lateStatus, 'connect');
    handle.useUserBuffer(bytes); // only once: each call takes memory until the connection ends
    handle.readStart();
  };
  const status = handle.connect(connecting, host, port);
  if (status) process.nextTick(fail, status, 'connect');
  else handle.setNoDelay(true);

  return {
    write(text) {
      if (open) afterWrite(handle.writeUtf8String(request, text));
    },
    writeAll(buffers, onSent) {
      if (open) afterWrite(handle.writev(request, buffers, true), onSent);
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

function systemError(status, syscall) {
  const code = require('util').getSystemErrorName(status);
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}

module.exports = { connect };
