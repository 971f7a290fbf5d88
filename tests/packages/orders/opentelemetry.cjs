'use strict';
// Preloaded. The SDK starts first: the Lambda instrumentation flushes only a tracer provider that exists when it starts.
const { getNodeAutoInstrumentations } = require('@opentelemetry/auto-instrumentations-node');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { NodeSDK } = require('@opentelemetry/sdk-node');

new NodeSDK().start();
registerInstrumentations({ instrumentations: getNodeAutoInstrumentations() });
