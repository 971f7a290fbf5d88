'use strict';
// Sends what a function gives for an invocation: a response, a streamed response, or an error report.

const { RuntimeApi, PATH } = require('./runtime-api.js');

const MAX_PIPELINED = 64 * 1024; // UTF-16 units; a longer response may be refused for its length, so its reply is awaited
const TOO_LARGE = 413;
const JSON_TYPE = 'application/json';

// Throws Runtime.JSONStringifyError.
function stringify(value) {
  if (value === undefined) return 'null';
  let text;
  let reason = `a value of type ${typeof value} has no JSON`;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    reason = error instanceof Error ? error.message : 'its toJSON threw';
  }
  if (text === undefined) {
    throw require('./errors.js').named('Runtime.JSONStringifyError', `Unable to stringify response body: ${reason}`);
  }
  return text;
}

// Sends a response and GET /next in one write, as HTTP/1.1 allows: the API reads the second request when it is done with
// the first. If it refuses the response, onRefused(reason) returns the error report to send instead.
function sendThenNext(api, id, json, onRefused, onNext) {
  const reportRefusal = (reason, onDone) => reportOnNewConnection(api, id, onRefused(reason), onDone);
  if (json.length > MAX_PIPELINED) {
    const next = () => api.next(onNext);
    return send(api, id, json, (refusal) => (refusal === null ? next() : reportRefusal(refusal, next)));
  }
  let lost = false; // the connection, before the reply to the response
  let refused = false;
  let reporting = false;
  let afterReport = null;
  const retry = () => {
    if (!lost) return api.next(onNext);
    lost = false;
    send(api, id, json, retry); // a refusal is ignored: the API may have taken the first one
  };
  const onResponseReply = (error, reply) => {
    if (error !== null) {
      lost = true;
    } else if (reply.status >= 300) {
      refused = reporting = true;
      reportRefusal(reply.errorText(), () => {
        reporting = false;
        if (afterReport !== null) afterReport();
      });
    }
  };
  const onNextReply = (error, reply) => {
    if (error === null && (reply.status === 200 || !refused)) return api.onNextReply(null, reply, onNext);
    if (reporting) afterReport = retry;
    else retry();
  };
  const post = requestHead(api, responsePath(id), Buffer.byteLength(json)) + json;
  api.openConnection().send(post + api.nextRequest, onResponseReply, onNextReply);
}

// Sends a response. Calls onDone with null if the API took it, else with the reason why not.
function send(api, id, json, onDone) {
  const body = Buffer.from(json);
  api.request(requestHead(api, responsePath(id), body.length), body, (error, reply, attempts) => {
    if (error !== null) return onDone(error.message);
    // After a retry, a refusal may mean that the API has taken the first one.
    const taken = reply.status < 300 || (attempts > 1 && reply.status < 500 && reply.status !== TOO_LARGE);
    onDone(taken ? null : reply.errorText());
  });
}

// Starts a streamed response. Returns send(buffers, onSent) for the body in its chunked form. Calls onReply with null if
// the API took all of it, else with the reason why not.
function startStream(api, id, contentType, onReply) {
  const head =
    `POST ${PATH}${responsePath(id)} HTTP/1.1\r\n${api.commonHeaders}Content-Type: ${contentType}\r\n` +
    'Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n' +
    'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n';
  const connection = api.openConnection();
  connection.sendBuffers([Buffer.from(head)], (error, reply) => {
    if (error !== null) onReply(error.message);
    else onReply(reply.status < 300 ? null : reply.errorText());
  });
  return (buffers, onSent) => connection.sendBuffers(buffers, null, onSent);
}

// Reports the error of an invocation. Nothing depends on the reply.
function reportError(api, id, report, onDone) {
  postReport(api, `/invocation/${encodeURIComponent(id)}/error`, report, onDone);
}

function reportInitError(api, report, onDone) {
  postReport(api, '/init/error', report, onDone);
}

function postReport(api, path, { description, type, cause }, onDone) {
  const body = Buffer.from(JSON.stringify(description));
  let headers = `Lambda-Runtime-Function-Error-Type: ${type}\r\n`;
  if (cause) headers += `Lambda-Runtime-Function-XRay-Error-Cause: ${cause}\r\n`;
  api.request(requestHead(api, path, body.length, headers), body, () => onDone());
}

// The connection of the invocation may still wait for the reply to GET /next.
function reportOnNewConnection(api, id, report, onDone) {
  const other = new RuntimeApi(api.address);
  reportError(other, id, report, () => {
    other.connection.close();
    onDone();
  });
}

function responsePath(id) {
  return `/invocation/${encodeURIComponent(id)}/response`;
}

function requestHead(api, path, length, headers = '') {
  const common = `${api.commonHeaders}Content-Type: ${JSON_TYPE}\r\nContent-Length: ${length}\r\n`;
  return `POST ${PATH}${path} HTTP/1.1\r\n${common}${headers}\r\n`;
}

module.exports = { stringify, sendThenNext, send, startStream, reportError, reportInitError };
