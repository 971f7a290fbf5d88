'use strict';
// The global `awslambda`. Loaded when a function first reads it.

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

module.exports = {
  // Marks a handler (event, responseStream, context) that streams its response.
  streamifyResponse(handler, options) {
    handler[STREAMING] = 'response';
    if (options && typeof options.highWaterMark === 'number') {
      handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
    }
    return handler;
  },
  get HttpResponseStream() {
    return require('./invoke-streaming.js').HttpResponseStream;
  },
  get InvokeStore() {
    return require('./invoke-store.js').InvokeStore;
  },
};
