'use strict';
// awslambda.InvokeStore: what belongs to the invocation being worked on, for libraries (Powertools, tracers) that look
// for it there. With one invocation at a time it is a variable; with several at once it follows the async context.

const REQUEST_ID = Symbol.for('_AWS_LAMBDA_REQUEST_ID');
const TRACE_ID = Symbol.for('_AWS_LAMBDA_X_RAY_TRACE_ID');
const TENANT_ID = Symbol.for('_AWS_LAMBDA_TENANT_ID');
const PROTECTED = { REQUEST_ID, X_RAY_TRACE_ID: TRACE_ID, TENANT_ID };
const OWN = new Set([REQUEST_ID, TRACE_ID, TENANT_ID]);

let current; // of one invocation at a time
let source = null; // the headers it was made from
let storage = null; // of several

// From now on several invocations run at once. Throws where this Node.js has no AsyncLocalStorage.
function follow() {
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
  PROTECTED_KEYS: PROTECTED,
  getContext() {
    if (storage !== null) return storage.getStore();
    const headers = require('./invocation-loop.js').headers();
    if (headers !== source) {
      source = headers;
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
    if (OWN.has(key)) throw new Error(`Cannot modify protected Lambda context field: ${String(key)}`);
    let context = InvokeStore.getContext();
    if (context === undefined) {
      if (storage !== null) throw new Error('No context available');
      context = current = {};
    }
    context[key] = value;
  },
  run(context, act, ...values) {
    if (storage !== null) return storage.run(context, act, ...values);
    const before = InvokeStore.getContext();
    current = context;
    try {
      return act(...values);
    } finally {
      current = before;
    }
  },
  isProtectedKey: (key) => OWN.has(key),
  getRequestId: () => InvokeStore.get(REQUEST_ID) || '-',
  getXRayTraceId: () => InvokeStore.get(TRACE_ID),
  getTenantId: () => InvokeStore.get(TENANT_ID),
};

module.exports = { InvokeStore, contextOf, follow };
