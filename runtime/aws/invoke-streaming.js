'use strict';
// Calls a handler that streams its response (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html, response
// streaming): chunks go out as they are written, and a later error goes out as trailers.

const Writable = require('stream').Writable;
const beforeExit = require('./before-exit.js');
const errorReport = require('./error-report.js');
const errors = require('./errors.js');
const isThenable = require('./invoke-buffered.js').isThenable;
const log = require('./log.js');
const responses = require('./responses.js');

const HTTP_CONTENT_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = new Uint8Array(8);
const LINE_END = Buffer.from('\r\n');

class ResponseStream extends Writable {
  // open(contentType) starts the response and returns send(buffers, onSent).
  constructor(open, highWaterMark) {
    super(highWaterMark ? { highWaterMark } : {});
    this._open = open;
    this._send = null;
    this._contentType = 'application/octet-stream';
    this._errorReport = null; // sent as trailers
    this._onBeforeFirstWrite = undefined; // set by HttpResponseStream.from
    this._started = false;
  }

  setContentType(contentType) {
    if (this._started) {
      throw errors.named('Runtime.InvalidStreamingOperation', 'Cannot set content-type, too late.');
    }
    this._contentType = String(contentType).replace(/[^\x20-\x7e]/g, '');
  }

  write(chunk, encoding, callback) {
    const data = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    if (data === undefined) {
      throw errors.named('Runtime.InvalidStreamingOperation', `a value of type ${typeof chunk} cannot be written to the response`);
    }
    this._start();
    return super.write(data, encoding, callback);
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return super.end(chunk);
    if (chunk !== undefined && chunk !== null) this.write(chunk, typeof encoding === 'string' ? encoding : undefined);
    else if (!this.writableEnded) this._start();
    return super.end(typeof encoding === 'function' ? encoding : callback);
  }

  _start() {
    if (this._started) return;
    this._started = true;
    if (typeof this._onBeforeFirstWrite === 'function') this._onBeforeFirstWrite((data) => super.write(data));
  }

  _write(chunk, encoding, callback) {
    this._writev([{ chunk }], callback);
  }

  _writev(chunks, callback) {
    const buffers = [];
    for (const { chunk } of chunks) if (chunk.length > 0) buffers.push(...encodeChunk(chunk));
    if (buffers.length === 0) return void process.nextTick(callback); // an empty chunk would end the response
    this._transmit(buffers, callback);
  }

  _final(callback) {
    this._transmit([encodeEnd(this._errorReport)], callback);
  }

  _transmit(buffers, callback) {
    if (this._send === null) {
      this._started = true;
      this._send = this._open(this._contentType);
    }
    this._send(buffers, callback);
  }
}

function encodeChunk(chunk) {
  return [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, LINE_END];
}

function encodeEnd(report) {
  if (report === null) return Buffer.from('0\r\n\r\n');
  const body = Buffer.from(JSON.stringify(report.description)).toString('base64');
  const type = `Lambda-Runtime-Function-Error-Type: ${report.type}`;
  return Buffer.from(`0\r\n${type}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n\r\n`);
}

class HttpResponseStream {
  // Puts status, headers and cookies before the body, in the format that function URLs and API Gateway expect.
  static from(stream, prelude) {
    stream.setContentType(HTTP_CONTENT_TYPE);
    const text = JSON.stringify(prelude);
    stream._onBeforeFirstWrite = (write) => {
      write(text);
      write(PRELUDE_END);
    };
    return stream;
  }
}

// Calls loop.next() when the API has taken the whole response, or loop.fail(thrown) if none was started. Returns
// abort(report, onDone), for a process that has to exit: it returns false if no response is in progress.
function invoke(api, handler, event, context, highWaterMark, loop) {
  const requestId = context.awsRequestId; // read first: the handler may change its context
  let handlerDone = false;
  let replied = false; // the API has taken the whole response
  let onReplied = null; // what to do then; set as soon as the outcome is known

  const stream = new ResponseStream(open, highWaterMark);
  stream.on('error', onError); // pipeline() destroys the stream with the error of its source
  stream.on('finish', () => replied || api.ref()); // everything is sent: wait for the API's reply
  // Later: the pipeline() of Node.js 12 closes the stream without the error of its source, then rejects with that error.
  stream.on('close', () => stream.writableFinished || setImmediate(onError, streamingError('the response stream was closed before its end')));

  function open(contentType) {
    return responses.startStream(api, requestId, contentType, (refusal) => {
      replied = true;
      if (!handlerDone) api.unref();
      if (refusal === null) return proceed();
      if (!stream.writableFinished) api.connection.close(); // the API would take the rest of the body for a request
      if (onReplied !== null) return onReplied();
      failWithoutResponse(streamingError(`the Runtime API refused the response stream: ${refusal}`));
    });
  }

  function decide(action) {
    onReplied = action;
    beforeExit.cancel();
  }

  function failWithoutResponse(thrown) {
    stream._send = discard;
    decide(doNothing);
    loop.fail(thrown);
  }

  function proceed() {
    if (!replied) return;
    if (onReplied !== null) {
      const action = onReplied;
      onReplied = doNothing;
      return action();
    }
    if (!handlerDone || !stream.writableFinished) return;
    decide(doNothing);
    loop.next();
  }

  function onError(thrown) {
    if (onReplied !== null) return;
    if (stream._send === null) return failWithoutResponse(thrown);
    log.error('Invoke Error', thrown);
    if (!stream.writableFinished) return endWithError(errorReport.create(thrown), loop.next);
    handlerDone = true; // the caller has the whole response
    proceed();
  }

  function endWithError(report, action) {
    decide(action);
    api.ref();
    stream._errorReport = report;
    if (stream.destroyed) stream._transmit([encodeEnd(report)], doNothing);
    else if (!stream.writableEnded) Writable.prototype.end.call(stream);
  }

  function onReturn(value) {
    if (value !== undefined) console.warn('Streaming handlers ignore return values.');
    handlerDone = true;
    proceed();
  }

  try {
    const returned = handler(event, stream, context);
    beforeExit.schedule(() => onError(streamingError('Response stream is not finished.')));
    if (isThenable(returned)) Promise.resolve(returned).then(onReturn, onError);
    else handlerDone = true; // the end of the stream decides
  } catch (error) {
    onError(error);
  }

  return (report, onDone) => {
    if (onReplied !== null || stream._send === null) return false;
    endWithError(report, onDone);
    return true;
  };
}

function doNothing() {}

function discard(buffers, onSent) {
  process.nextTick(onSent);
}

function streamingError(message) {
  return errors.named('Runtime.StreamingError', message);
}

module.exports = { invoke, HttpResponseStream };
