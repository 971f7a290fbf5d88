'use strict';
// The environment variable _X_AMZN_TRACE_ID, which changes with every invocation. The C library never frees a variable's
// old value, which would leak some 140 bytes an invocation. So this variable is kept here, behind a proxy of process.env.

const NAME = '_X_AMZN_TRACE_ID';

let traceId; // undefined if the invocation has none
let proxy = null;

// Called before the function's code could keep a reference to process.env.
function install() {
  const real = process.env;
  traceId = real[NAME];
  delete real[NAME];
  proxy = process.env = new Proxy(real, {
    get: (env, name) => (name === NAME ? traceId : env[name]),
    set(env, name, value) {
      if (name === NAME) traceId = String(value);
      else env[name] = value;
      return true;
    },
    has: (env, name) => (name === NAME ? traceId !== undefined : name in env),
    deleteProperty(env, name) {
      if (name === NAME) traceId = undefined;
      else delete env[name];
      return true;
    },
    ownKeys: (env) => (traceId === undefined ? Reflect.ownKeys(env) : [...Reflect.ownKeys(env), NAME]),
    getOwnPropertyDescriptor(env, name) {
      if (name !== NAME) return Reflect.getOwnPropertyDescriptor(env, name);
      return traceId === undefined ? undefined : { configurable: true, enumerable: true, writable: true, value: traceId };
    },
  });
}

function set(value) {
  traceId = value || undefined;
  if (process.env === proxy) return;
  if (traceId === undefined) delete process.env[NAME]; // the function has replaced process.env
  else process.env[NAME] = traceId;
}

module.exports = { install, set };
