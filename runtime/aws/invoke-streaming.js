'use strict';
// A handler that answers through a stream (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html, response
// streaming): chunks as they are written, and an error midway as trailers.

const Writable = require('stream').Writable;
const answers = require('./responses.js');
const errors = require('./errors.js');
const idle = require('./before-exit.js');
const isThenable = require('./invoke-buffered.js').isThenable;
const log = require('./log.js');

const HTTP_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = new Uint8Array(8);
const LINE_END = Buffer.from('\r\n');

class ResponseStream extends Writable {
  // `open(contentType)` starts the response and gives send(buffers, done).
  constructor(open, highWaterMark) {
    super(highWaterMark ? { highWaterMark } : {});
    this._open = open;
    this._send = null;
    this._contentType = 'application/octet-stream';
    this._failure = null; // an error report, to be sent as trailers
    this._onBeforeFirstWrite = undefined; // what HttpResponseStream.from sets
    this._begun = false;
  }

  setContentType(contentType) {
    if (this._begun) {
      throw errors.named('Runtime.InvalidStreamingOperation', 'Cannot set content-type, too late.');
    }
    this._contentType = String(contentType).replace(/[^\x20-\x7e]/g, '');
  }

  write(chunk, encoding, callback) {
    const data = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    if (data === undefined) {
      throw errors.named('Runtime.InvalidStreamingOperation', `a value of type ${typeof chunk} cannot be written to the response`);
    }
    this._begin();
    return super.write(data, encoding, callback);
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return super.end(chunk);
    if (chunk !== undefined && chunk !== null) this.write(chunk, typeof encoding === 'string' ? encoding : undefined);
    else if (!this.writableEnded) this._begin();
    return super.end(typeof encoding === 'function' ? encoding : callback);
  }

  _begin() {
    if (this._begun) return;
    this._begun = true;
    if (typeof this._onBeforeFirstWrite === 'function') this._onBeforeFirstWrite((piece) => super.write(piece));
  }

  _write(chunk, encoding, callback) {
    if (chunk.length === 0) return void process.nextTick(callback); // an empty chunk would end the response
    this._transmit(framed(chunk), callback);
  }

  _writev(chunks, callback) {
    const buffers = [];
    for (const { chunk } of chunks) if (chunk.length > 0) buffers.push(...framed(chunk));
    if (buffers.length === 0) return void process.nextTick(callback);
    this._transmit(buffers, callback);
  }

  _final(callback) {
    this._transmit([lastChunk(this._failure)], callback);
  }

  _transmit(buffers, callback) {
    if (this._send === null) {
      this._begun = true;
      this._send = this._open(this._contentType);
    }
    this._send(buffers, callback);
  }
}

function framed(chunk) {
  return [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, LINE_END];
}

// The end of the body; with an error report, its trailers.
function lastChunk(report) {
  if (report === null) return Buffer.from('0\r\n\r\n');
  const body = Buffer.from(JSON.stringify(report.description)).toString('base64');
  const type = `Lambda-Runtime-Function-Error-Type: ${report.type}`;
  return Buffer.from(`0\r\n${type}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n\r\n`);
}

class HttpResponseStream {
  // The stream, with status, headers and cookies in front of the body, as function URLs and API Gateway take them.
  static from(stream, prelude) {
    stream.setContentType(HTTP_TYPE);
    const text = JSON.stringify(prelude);
    stream._onBeforeFirstWrite = (write) => {
      write(text);
      write(PRELUDE_END);
    };
    return stream;
  }
}

// Works one invocation off: loop.next() once the response is whole and taken, loop.fail(thrown) where none was begun.
// Gives crash(report, end), for a process that has to end midway: false where no response was begun.
function invoke(api, handler, event, context, highWaterMark, loop) {
  const id = context.awsRequestId; // the handler may change its context
  let returned = false; // the handler is done
  let replied = false; // the API has taken the whole response
  let after = null; // set once the outcome is decided: what to do when the API has replied

  const stream = new ResponseStream(open, highWaterMark);
  stream.on('error', broken); // pipeline() destroys it with the error of its source
  stream.on('finish', () => replied || api.ref()); // all was handed over: now the API's reply is what we wait for
  stream.on('close', () => stream.writableFinished || broken(failure('the response stream was closed before its end')));

  function open(contentType) {
    return answers.stream(api, id, contentType, (refusal) => {
      replied = true;
      if (!returned) api.unref();
      if (refusal === null) return proceed();
      if (!stream.writableFinished) api.connection.close(); // what was sent of the body would be read as a request
      if (after !== null) return after();
      decide(() => {});
      stream._send = discard;
      loop.fail(failure(`the Runtime API refused the response stream: ${refusal}`));
    });
  }

  function decide(act) {
    after = act;
    idle.reset();
  }

  function proceed() {
    if (!replied) return;
    if (after !== null) {
      const act = after;
      after = () => {};
      return act();
    }
    if (!returned || !stream.writableFinished) return;
    decide(() => {});
    loop.next();
  }

  function broken(thrown) {
    if (after !== null) return;
    if (stream._send === null) {
      stream._send = discard;
      decide(() => {});
      return loop.fail(thrown);
    }
    log.error('Invoke Error', thrown);
    if (!stream.writableFinished) return end(loop.report(thrown), loop.next);
    returned = true; // its caller has it all
    proceed();
  }

  // The error goes behind what was sent, as trailers.
  function end(report, act) {
    decide(act);
    api.ref();
    stream._failure = report;
    if (stream.destroyed) stream._transmit([lastChunk(report)], () => {});
    else if (!stream.writableEnded) Writable.prototype.end.call(stream);
  }

  try {
    const result = handler(event, stream, context);
    idle.then(() => broken(failure('Response stream is not finished.')));
    if (isThenable(result)) Promise.resolve(result).then(done, broken);
    else returned = true; // done when the stream is
  } catch (error) {
    broken(error);
  }

  function done(value) {
    if (value !== undefined) console.warn('Streaming handlers ignore return values.');
    returned = true;
    proceed();
  }

  return (report, act) => {
    if (after !== null || stream._send === null) return false;
    end(report, act);
    return true;
  };
}

function discard(buffers, done) {
  process.nextTick(done);
}

function failure(message) {
  return errors.named('Runtime.StreamingError', message);
}

module.exports = { invoke, HttpResponseStream };
