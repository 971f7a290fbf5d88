'use strict';
// The Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): where it is, and what comes from it.
// What goes to it besides, answers and errors, is in responses.js, and how to read a reply is in http-parser.js: nothing of
// that is needed before the first GET, and each kilobyte that is loaded costs a cold start 25 microseconds.

const connect = require('./socket.js').connect;

const PATH = '/2018-06-01/runtime';
const TRIES = 6;
const FIRST_PAUSE_MS = 25;
const later = setTimeout; // a function under test may have replaced the global by the time it is needed

class Api {
  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.host = colon < 0 ? address : address.slice(0, colon);
    this.port = colon < 0 ? 80 : Number(address.slice(colon + 1));
    this.common = `Host: ${address}\r\nUser-Agent: nodelayer-nodejs/${process.version}\r\n`;
    this.get = `GET ${PATH}/invocation/next HTTP/1.1\r\n${this.common}\r\n`;
    this.connection = new Connection(this.host, this.port);
  }

  // The next invocation, { id, headers, body }, or an error that leaves nothing to be done here.
  next(onNext) {
    this.request(this.get, null, (error, reply) => this.took(error, reply, onNext));
  }

  took(error, reply, onNext) {
    if (error !== null) return onNext(error);
    if (reply.status !== 200) return onNext(new Error(`the Runtime API gave no invocation (${reply.refusal()})`));
    const id = reply.headers.get('lambda-runtime-aws-request-id');
    if (!id) return onNext(new Error('the Runtime API gave an invocation without its request id'));
    return onNext(null, { id, headers: reply.headers, body: reply.text() });
  }

  // One request, sent again on a new connection where the old one was lost: each of them may be repeated, an answer
  // because it names its request id.
  request(head, body, onReply, tries = 1) {
    const onResult = (error, reply) => {
      if (error === null) return onReply(null, reply, tries);
      if (tries >= TRIES) {
        return onReply(new Error(`the Runtime API at ${this.host}:${this.port} does not answer: ${error.message}`));
      }
      const again = () => this.request(head, body, onReply, tries + 1);
      return tries === 1 ? again() : void later(again, FIRST_PAUSE_MS << (tries - 2));
    };
    const connection = this.link();
    if (body === null) connection.send(head, onResult);
    else connection.sendBuffers([Buffer.from(head), body], onResult);
  }

  link() {
    if (!this.connection.open) this.connection = new Connection(this.host, this.port);
    return this.connection;
  }

  // While the function works its own timers and sockets alone shall keep the process awake.
  ref() {
    this.connection.ref();
  }

  unref() {
    this.connection.unref();
  }
}

// HTTP/1.1 over one connection: requests go out as they come (pipelined where the caller sends two at once), replies come
// back in their order. A reply is { status, headers, text() }: headers.get(name) takes a name in lower case; text() is to
// be called before the callback returns, since the bytes are used again.
class Connection {
  constructor(host, port) {
    this.open = true;
    this.waiting = []; // a callback(error, reply) for each request without its reply
    this.reader = null;
    this.socket = connect(host, port, (bytes, length) => this.take(bytes, length), (error) => this.lost(error));
  }

  // `text` is whole requests, and there is a callback for the reply to each.
  send(text, ...onReplies) {
    if (!this.ready(onReplies)) return;
    this.socket.write(text);
  }

  // As `send`, of Buffers. Without a callback it is part of a request; `sent` is called once they are on their way.
  sendBuffers(buffers, onReply, sent) {
    if (!this.ready(onReply ? [onReply] : [])) return;
    this.socket.writeAll(buffers, sent);
  }

  ready(onReplies) {
    if (this.open) this.waiting.push(...onReplies);
    else for (const onReply of onReplies) process.nextTick(onReply, dropped(null));
    return this.open;
  }

  ref() {
    this.socket.ref();
  }

  unref() {
    this.socket.unref();
  }

  close() {
    if (!this.open) return;
    this.socket.close();
    this.lost(null);
  }

  // The other side has sent what nobody can read, or its last reply.
  abandon(why, last, reply) {
    this.socket.close();
    this.open = false;
    const waiting = this.waiting;
    this.waiting = [];
    if (last) last(null, reply);
    for (const onReply of waiting) onReply(dropped(why));
  }

  lost(error) {
    if (!this.open) return;
    this.open = false;
    const waiting = this.waiting;
    this.waiting = [];
    const whole = error === null && this.reader !== null ? this.reader.end() : null;
    if (whole !== null) waiting.shift()(null, whole);
    for (const onReply of waiting) onReply(dropped(error));
  }

  take(bytes, length) {
    if (this.reader === null) this.reader = new (require('./http-parser.js').Reader)(this);
    this.reader.take(bytes, length);
  }

  // A reply is whole; the last one where the other side says so.
  done(reply, last) {
    const onReply = this.waiting.shift();
    if (last) this.abandon(null, onReply, reply);
    else onReply(null, reply);
  }
}

function dropped(error) {
  const why = error === null ? 'the connection was closed' : error.message;
  return Object.assign(new Error(why), { code: (error && error.code) || 'ECONNRESET', dropped: true });
}

module.exports = { Api, PATH };
