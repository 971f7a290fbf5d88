'use strict';
// The sample function with response streaming: writes the same answer in parts. Its handler is `streaming.handler`.

/* global awslambda */
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const answer = JSON.stringify({ node: process.version, architecture: process.arch, event, streamed: true });
  for (const part of [answer.slice(0, 1), answer.slice(1)]) {
    stream.write(part);
    await new Promise((resolve) => setTimeout(resolve, 20)); // so that Lambda gets it in a part of its own
  }
  stream.end();
});
