'use strict';
// What an invocation gave, handed in to the Runtime API: an answer, an answer in pieces, an error.

const { Api, PATH } = require('./runtime-api.js');

const PIPELINED = 64 * 1024; // UTF-16 units; a longer answer may be refused for its length, so it is waited for
const TOO_LARGE = 413;
const JSON_TYPE = 'application/json';

// Hands an answer in and asks for the next invocation. Both go out in one write, as HTTP/1.1 allows: the API reads the
// second once it has dealt with the first. `onRefused(why)` gives the error to report where it says no.
function answer(api, id, json, onRefused, onNext) {
  if (json.length > PIPELINED) {
    const handed = () => api.next(onNext);
    return respond(api, id, json, (refusal) => (refusal ? refused(api, id, refusal, onRefused, handed) : handed()));
  }
  let refusal = null;
  let lost = false;
  let busy = false; // with reporting the refusal
  let late = null;
  const again = () => {
    if (!lost) return api.next(onNext);
    lost = false; // it may have been taken before the connection was lost: then this one is refused, rightly
    respond(api, id, json, again);
  };
  const onAnswer = (error, reply) => {
    if (error !== null) {
      lost = true;
    } else if (reply.status >= 300) {
      refusal = reply.refusal();
      busy = true;
      refused(api, id, refusal, onRefused, () => {
        busy = false;
        if (late !== null) late();
      });
    }
  };
  const onGet = (error, reply) => {
    if (error === null && reply.status === 200) return api.took(null, reply, onNext);
    if (error === null && refusal === null) return api.took(null, reply, onNext);
    if (busy) late = again;
    else again();
  };
  const post = head(api, responsePath(id), JSON_TYPE, Buffer.byteLength(json)) + json;
  api.link().send(post + api.get, onAnswer, onGet);
}

// Hands an answer in; null for one that was taken, else why not.
function respond(api, id, json, onDone) {
  const body = Buffer.from(json);
  api.request(head(api, responsePath(id), JSON_TYPE, body.length), body, (error, reply, tries) => {
    if (error !== null) return onDone(error.message);
    // Sent again, it may have been taken the first time: then it is refused, rightly.
    const taken = reply.status < 300 || (tries > 1 && reply.status < 500 && reply.status !== TOO_LARGE);
    onDone(taken ? null : reply.refusal());
  });
}

// Begins an answer that goes out in pieces. Gives send(buffers, sent), which takes the body as it goes over the wire;
// `onReply` gets null once all of it was taken, else why not.
function stream(api, id, contentType, onReply) {
  const more =
    'Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n' +
    'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n';
  const first = `POST ${PATH}${responsePath(id)} HTTP/1.1\r\n${api.common}Content-Type: ${contentType}\r\n${more}\r\n`;
  const connection = api.link();
  connection.sendBuffers([Buffer.from(first)], (error, reply) => {
    if (error !== null) onReply(error.message);
    else onReply(reply.status < 300 ? null : reply.refusal());
  });
  return (buffers, sent) => connection.sendBuffers(buffers, null, sent);
}

// Reports the error of an invocation. What the API makes of it changes nothing here.
function fail(api, id, report, onDone) {
  tell(api, `/invocation/${encodeURIComponent(id)}/error`, report, onDone);
}

function failInit(api, report, onDone) {
  tell(api, '/init/error', report, onDone);
}

function tell(api, path, { description, type, cause }, onDone) {
  const body = Buffer.from(JSON.stringify(description));
  let more = `Lambda-Runtime-Function-Error-Type: ${type}\r\n`;
  if (cause) more += `Lambda-Runtime-Function-XRay-Error-Cause: ${cause}\r\n`;
  api.request(head(api, path, JSON_TYPE, body.length, more), body, () => onDone());
}

// The connection of this invocation may still wait for the reply to a GET: so this goes over one of its own.
function refused(api, id, why, onRefused, onDone) {
  const own = new Api(`${api.host}:${api.port}`);
  fail(own, id, onRefused(why), () => {
    own.connection.close();
    onDone();
  });
}

function responsePath(id) {
  return `/invocation/${encodeURIComponent(id)}/response`;
}

function head(api, path, type, length, more = '') {
  return `POST ${PATH}${path} HTTP/1.1\r\n${api.common}Content-Type: ${type}\r\nContent-Length: ${length}\r\n${more}\r\n`;
}

module.exports = { answer, respond, stream, fail, failInit };
