'use strict';
// The variable _X_AMZN_TRACE_ID, new with every invocation. The C library keeps each string that was ever put into the
// environment, some 140 bytes an invocation; so this one name lives here, and process.env shows it all the same.

const NAME = '_X_AMZN_TRACE_ID';

let id; // undefined where the invocation has none
let shown = null; // what stands in for process.env

// Before any code of the function could have taken hold of process.env.
function install() {
  const real = process.env;
  id = real[NAME];
  delete real[NAME];
  shown = process.env = new Proxy(real, {
    get: (env, name) => (name === NAME ? id : env[name]),
    set(env, name, value) {
      if (name === NAME) id = String(value);
      else env[name] = value;
      return true;
    },
    has: (env, name) => (name === NAME ? id !== undefined : name in env),
    deleteProperty(env, name) {
      if (name === NAME) id = undefined;
      else delete env[name];
      return true;
    },
    ownKeys: (env) => (id === undefined ? Reflect.ownKeys(env) : [...Reflect.ownKeys(env), NAME]),
    getOwnPropertyDescriptor(env, name) {
      if (name !== NAME) return Reflect.getOwnPropertyDescriptor(env, name);
      return id === undefined ? undefined : { configurable: true, enumerable: true, writable: true, value: id };
    },
  });
}

function set(value) {
  id = value || undefined;
  if (process.env === shown) return;
  if (id === undefined) delete process.env[NAME]; // a function has put an object of its own there
  else process.env[NAME] = id;
}

module.exports = { install, set };
