'use strict';
// The Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).

const Connection = require('./http.js').Connection;

const PATH = '/2018-06-01/runtime';
const PIPELINED = 64 * 1024; // UTF-16 units; a longer answer may be refused for its length, so it is waited for
const TOO_LARGE = 413;
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

  // Hands an answer in and asks for the next invocation. Both go out in one write, as HTTP/1.1 allows: the API reads
  // the second once it has dealt with the first. `onRefused(why)` gives the error to report where it says no.
  answer(id, json, onRefused, onNext) {
    if (json.length > PIPELINED) {
      const handed = () => this.next(onNext);
      return this.respond(id, json, (refusal) => (refusal ? this.refused(id, refusal, onRefused, handed) : handed()));
    }
    let refusal = null;
    let lost = false;
    let busy = false; // with reporting the refusal
    let late = null;
    const again = () => {
      if (!lost) return this.next(onNext);
      lost = false; // it may have been taken before the connection was lost: then this one is refused, rightly
      this.respond(id, json, again);
    };
    const onAnswer = (error, reply) => {
      if (error !== null) {
        lost = true;
      } else if (reply.status >= 300) {
        refusal = refusalOf(reply);
        busy = true;
        this.refused(id, refusal, onRefused, () => {
          busy = false;
          if (late !== null) late();
        });
      }
    };
    const onGet = (error, reply) => {
      if (error === null && reply.status === 200) return this.took(null, reply, onNext);
      if (error === null && refusal === null) return this.took(null, reply, onNext);
      if (busy) late = again;
      else again();
    };
    this.link().send(this.post(`/invocation/${encodeURIComponent(id)}/response`, JSON_TYPE, json) + this.get, onAnswer, onGet);
  }

  // Hands an answer in; null for one that was taken, else why not.
  respond(id, json, onDone) {
    const body = Buffer.from(json);
    const head = this.head(`/invocation/${encodeURIComponent(id)}/response`, JSON_TYPE, body.length);
    this.request(head, body, (error, reply, tries) => {
      if (error !== null) return onDone(error.message);
      // Sent again, it may have been taken the first time: then it is refused, rightly.
      const taken = reply.status < 300 || (tries > 1 && reply.status < 500 && reply.status !== TOO_LARGE);
      onDone(taken ? null : refusalOf(reply));
    });
  }

  // Begins an answer that goes out in pieces. Gives send(buffers, sent), which takes the body as it goes over the wire;
  // `onReply` gets null once all of it was taken, else why not.
  stream(id, contentType, onReply) {
    const more =
      'Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n' +
      'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n';
    const path = `${PATH}/invocation/${encodeURIComponent(id)}/response`;
    const head = `POST ${path} HTTP/1.1\r\n${this.common}Content-Type: ${contentType}\r\n${more}\r\n`;
    const connection = this.link();
    connection.sendBuffers([Buffer.from(head)], (error, reply) => {
      if (error !== null) onReply(error.message);
      else onReply(reply.status < 300 ? null : refusalOf(reply));
    });
    return (buffers, sent) => connection.sendBuffers(buffers, null, sent);
  }

  // Reports the error of an invocation. What the API makes of it changes nothing here.
  fail(id, report, onDone) {
    this.report(`/invocation/${encodeURIComponent(id)}/error`, report, onDone);
  }

  failInit(report, onDone) {
    this.report('/init/error', report, onDone);
  }

  report(path, { description, type, cause }, onDone) {
    const body = Buffer.from(JSON.stringify(description));
    let more = `Lambda-Runtime-Function-Error-Type: ${type}\r\n`;
    if (cause) more += `Lambda-Runtime-Function-XRay-Error-Cause: ${cause}\r\n`;
    this.request(this.head(path, 'application/json', body.length, more), body, () => onDone());
  }

  // The connection of this invocation may still wait for the reply to a GET: so this goes over one of its own.
  refused(id, why, onRefused, onDone) {
    const own = new Api(`${this.host}:${this.port}`);
    own.fail(id, onRefused(why), () => {
      own.connection.close();
      onDone();
    });
  }

  took(error, reply, onNext) {
    if (error !== null) return onNext(error);
    if (reply.status !== 200) return onNext(new Error(`the Runtime API gave no invocation (${refusalOf(reply)})`));
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

  post(path, type, text) {
    return this.head(path, type, Buffer.byteLength(text)) + text;
  }

  head(path, type, length, more = '') {
    return `POST ${PATH}${path} HTTP/1.1\r\n${this.common}Content-Type: ${type}\r\nContent-Length: ${length}\r\n${more}\r\n`;
  }

  // While the function works its own timers and sockets alone shall keep the process awake.
  ref() {
    this.connection.ref();
  }

  unref() {
    this.connection.unref();
  }
}

const JSON_TYPE = 'application/json';

function refusalOf(reply) {
  const text = reply.text().slice(0, 1000).trim();
  return `${reply.status}${text ? ` ${text}` : ''}`;
}

module.exports = { Api };
