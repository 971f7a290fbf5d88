'use strict';
// The Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): its address, its connection, and GET
// /next. What is not needed before the first GET is elsewhere, because each kilobyte of code adds 25 microseconds to a
// cold start: responses.js sends what a function gave, http-parser.js reads replies.
//
// In these files a response is what a function gives for an invocation, a reply what the API gives for an HTTP request.

const connect = require('./socket.js').connect;

const PATH = '/2018-06-01/runtime';
const MAX_ATTEMPTS = 6;
const FIRST_DELAY_MS = 25;
const startTimer = setTimeout; // the function may replace the global

class RuntimeApi {
  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.address = address;
    this.host = colon < 0 ? address : address.slice(0, colon);
    this.port = colon < 0 ? 80 : Number(address.slice(colon + 1));
    this.commonHeaders = `Host: ${address}\r\nUser-Agent: nodelayer-nodejs/${process.version}\r\n`;
    this.nextRequest = `GET ${PATH}/invocation/next HTTP/1.1\r\n${this.commonHeaders}\r\n`;
    this.connection = new Connection(this.host, this.port);
  }

  // Calls onNext(error, { id, headers, body }) with the next invocation. The error is final: requests were retried.
  next(onNext) {
    this.request(this.nextRequest, null, (error, reply) => this.onNextReply(error, reply, onNext));
  }

  onNextReply(error, reply, onNext) {
    if (error !== null) return onNext(error);
    if (reply.status !== 200) return onNext(new Error(`the Runtime API gave no invocation (${reply.errorText()})`));
    const id = reply.headers.get('lambda-runtime-aws-request-id');
    if (!id) return onNext(new Error('the Runtime API gave an invocation without its request id'));
    return onNext(null, { id, headers: reply.headers, body: reply.text() });
  }

  // Sends a request, again on a new connection if the connection is lost. Every request may be repeated: a response
  // names its request id. Calls onReply(error, reply, attempts).
  request(head, body, onReply, attempt = 1) {
    const onResult = (error, reply) => {
      if (error === null) return onReply(null, reply, attempt);
      if (attempt >= MAX_ATTEMPTS) {
        return onReply(new Error(`the Runtime API at ${this.host}:${this.port} does not answer: ${error.message}`));
      }
      const retry = () => this.request(head, body, onReply, attempt + 1);
      return attempt === 1 ? retry() : void startTimer(retry, FIRST_DELAY_MS << (attempt - 2));
    };
    const connection = this.openConnection();
    if (body === null) connection.send(head, onResult);
    else connection.sendBuffers([Buffer.from(head), body], onResult);
  }

  openConnection() {
    if (!this.connection.open) this.connection = new Connection(this.host, this.port);
    return this.connection;
  }

  // With ref the connection keeps the event loop busy; with unref only the function's own timers and sockets do.
  ref() {
    this.connection.socket.ref();
  }

  unref() {
    this.connection.socket.unref();
  }
}

// An HTTP/1.1 connection. Requests go out when they are sent, pipelined if the caller sends two at once, and replies
// come back in the same order. A reply is { status, headers, text() }: headers.get(name) takes a lower-case name, and
// text() works only until the callback returns, because the buffer is reused.
class Connection {
  constructor(host, port) {
    this.open = true;
    this.waiting = []; // callback(error, reply) of each request without a reply
    this.parser = null;
    this.socket = connect(host, port, (bytes, length) => this.onData(bytes, length), (error) => this.onEnd(error));
  }

  // `text` is one or more whole requests, with one callback for each.
  send(text, ...onReplies) {
    if (this.expectReplies(onReplies)) this.socket.write(text);
  }

  // Without `onReply` the buffers are only a part of a request. `onSent` is called when they have been written.
  sendBuffers(buffers, onReply, onSent) {
    if (this.expectReplies(onReply ? [onReply] : [])) this.socket.writeAll(buffers, onSent);
  }

  expectReplies(onReplies) {
    if (this.open) this.waiting.push(...onReplies);
    else for (const onReply of onReplies) process.nextTick(onReply, connectionLost(null));
    return this.open;
  }

  onData(bytes, length) {
    if (this.parser === null) this.parser = new (require('./http-parser.js').Parser)(this);
    this.parser.parse(bytes, length);
  }

  onReply(reply, isLast) {
    if (isLast) this.close(null, reply);
    else this.waiting.shift()(null, reply);
  }

  onEnd(error) {
    this.settle(error, error === null && this.parser !== null ? this.parser.endOfInput() : null);
  }

  close(error = null, lastReply = null) {
    if (!this.open) return;
    this.socket.close();
    this.settle(error, lastReply);
  }

  settle(error, lastReply) {
    if (!this.open) return;
    this.open = false;
    const waiting = this.waiting;
    this.waiting = [];
    if (lastReply !== null) waiting.shift()(null, lastReply);
    for (const onReply of waiting) onReply(connectionLost(error));
  }
}

function connectionLost(error) {
  const reason = error === null ? 'the connection was closed' : error.message;
  return Object.assign(new Error(reason), { code: (error && error.code) || 'ECONNRESET' });
}

module.exports = { RuntimeApi, PATH };
