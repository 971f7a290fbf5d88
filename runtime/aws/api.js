'use strict';
// The Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) over one connection kept open.

const http = require('http');

const PATH = '/2018-06-01/runtime';
const ACCEPTED = 202;

function connect(address) {
  if (!address) throw new Error('AWS_LAMBDA_RUNTIME_API is not set: this program runs inside Lambda or its emulator');
  const colon = address.lastIndexOf(':');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

  function request(method, path, headers, body) {
    return new Promise((resolve, reject) => {
      const sent = http.request(
        {
          agent,
          host: colon < 0 ? address : address.slice(0, colon),
          port: colon < 0 ? 80 : address.slice(colon + 1),
          method,
          path: PATH + path,
          headers,
        },
        (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() });
          });
        }
      );
      sent.on('error', (error) => reject(new Error(`the Runtime API at ${address} does not answer: ${error.message}`)));
      sent.end(body);
    });
  }

  function post(path, type, text, errorType) {
    const body = Buffer.from(text);
    const headers = { 'Content-Type': type, 'Content-Length': body.length };
    if (errorType) headers['Lambda-Runtime-Function-Error-Type'] = errorType;
    return request('POST', path, headers, body);
  }

  function report(path, error) {
    return post(path, 'application/vnd.aws.lambda.error+json', JSON.stringify(error), error.errorType);
  }

  return {
    // The next invocation: { requestId, headers, body }. Waits as long as it takes.
    async next() {
      const { status, headers, body } = await request('GET', '/invocation/next', {});
      if (status !== 200) throw new Error(`the Runtime API gave no invocation (${status}): ${body}`);
      return { requestId: headers['lambda-runtime-aws-request-id'], headers, body };
    },

    // Null when the answer was taken, else the error that its caller has to get: too large, for instance.
    async answer(requestId, text) {
      const { status, body } = await post(`/invocation/${requestId}/response`, 'application/json', text);
      if (status === ACCEPTED) return null;
      const error = new Error(`the answer was refused (${status}): ${body}`);
      error.name = 'Runtime.AnswerRefused';
      return error;
    },

    fail(requestId, error) {
      return report(`/invocation/${requestId}/error`, error);
    },

    failInit(error) {
      return report('/init/error', error);
    },
  };
}

module.exports = { connect };
