'use strict';
// awslambda.InvokeStore: data of the current invocation, for libraries such as Powertools and tracers. Concurrent
// invocations each have their own in their async context; otherwise it is a variable.

const REQUEST_ID = Symbol.for('_AWS_LAMBDA_REQUEST_ID');
const TRACE_ID = Symbol.for('_AWS_LAMBDA_X_RAY_TRACE_ID');
const TENANT_ID = Symbol.for('_AWS_LAMBDA_TENANT_ID');
const PROTECTED_KEYS = { REQUEST_ID, X_RAY_TRACE_ID: TRACE_ID, TENANT_ID };
const isProtectedKey = (key) => key === REQUEST_ID || key === TRACE_ID || key === TENANT_ID;

let current; // without concurrency: the context
let currentHeaders = null; // and the headers that it was created from
let storage = null; // with concurrency

// Throws if this Node.js has no AsyncLocalStorage.
function enableConcurrency() {
  const { AsyncLocalStorage } = require('async_hooks');
  if (typeof AsyncLocalStorage !== 'function') {
    throw require('./errors.js').named(
      'Runtime.ConcurrencyNotSupported',
      `AWS_LAMBDA_MAX_CONCURRENCY is set, but Node.js ${process.version} has no AsyncLocalStorage: use 12.17 or newer`
    );
  }
  storage = new AsyncLocalStorage();
}

function contextOf(headers) {
  return {
    [REQUEST_ID]: headers.get('lambda-runtime-aws-request-id'),
    [TRACE_ID]: headers.get('lambda-runtime-trace-id'),
    [TENANT_ID]: headers.get('lambda-runtime-aws-tenant-id'),
  };
}

const InvokeStore = {
  PROTECTED_KEYS,
  getContext() {
    if (storage !== null) return storage.getStore();
    const headers = require('./invocation-loop.js').latestHeaders();
    if (headers !== currentHeaders) {
      currentHeaders = headers;
      current = contextOf(headers);
    }
    return current;
  },
  hasContext() {
    return InvokeStore.getContext() !== undefined;
  },
  get(key) {
    const context = InvokeStore.getContext();
    return context === undefined ? undefined : context[key];
  },
  set(key, value) {
    if (isProtectedKey(key)) throw new Error(`Cannot modify protected Lambda context field: ${String(key)}`);
    let context = InvokeStore.getContext();
    if (context === undefined) {
      if (storage !== null) throw new Error('No context available');
      context = current = {};
    }
    context[key] = value;
  },
  run(context, action, ...values) {
    if (storage !== null) return storage.run(context, action, ...values);
    const previous = InvokeStore.getContext();
    current = context;
    try {
      return action(...values);
    } finally {
      current = previous;
    }
  },
  isProtectedKey,
  getRequestId: () => InvokeStore.get(REQUEST_ID) || '-',
  getXRayTraceId: () => InvokeStore.get(TRACE_ID),
  getTenantId: () => InvokeStore.get(TENANT_ID),
};

module.exports = { InvokeStore, contextOf, enableConcurrency };
