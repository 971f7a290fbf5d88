'use strict';
// The sample function: says which Node.js it runs on, hands its event back, and how many milliseconds it has left.
// An event with `fail` makes it throw; an HTTP event (function URL, API Gateway) gets an HTTP answer.

exports.handler = async (event, context) => {
  if (event && event.fail) throw new Error(String(event.fail));
  const answer = {
    node: process.version,
    architecture: process.arch,
    event,
    remainingTimeInMillis: context.getRemainingTimeInMillis(),
  };
  const overHttp = event && event.requestContext && event.requestContext.http;
  return overHttp
    ? { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(answer) }
    : answer;
};
