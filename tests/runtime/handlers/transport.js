'use strict';
// For tests of the transport: an answer that tells which event it belongs to.
const told = (event, context) => ({ event, id: context.awsRequestId, trace: process.env._X_AMZN_TRACE_ID });
exports.buffered = async (event, context) => {
  if (event.wait) await new Promise((resolve) => setTimeout(resolve, event.wait));
  if (event.fail) throw new Error(`${event.n} ${context.awsRequestId}`);
  return told(event, context);
};
exports.calledBack = (event, context, callback) => {
  if (event.fail) return callback(`${event.n} ${context.awsRequestId}`);
  if (event.wait) return setTimeout(callback, event.wait, null, told(event, context));
  return callback(null, told(event, context));
};
exports.streamed = awslambda.streamifyResponse(async (event, to, context) => {
  const bytes = Buffer.from(JSON.stringify(told(event, context)));
  for (let at = 0; at < bytes.length; at += 5000) to.write(bytes.slice(at, at + 5000));
  if (event.wait) await new Promise((resolve) => setTimeout(resolve, event.wait));
  if (event.fail) throw new Error(context.awsRequestId);
  to.end();
});
