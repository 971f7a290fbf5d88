'use strict';
// The environment variable _X_AMZN_TRACE_ID, which changes with every invocation. The C library never frees a variable's
// old value: setting it costs 200 bytes and 2 µs an invocation. So it is a property of the prototype of process.env, where
// code reads it, and a real variable, which workers and child processes inherit, only if X-Ray records the invocation.

const NAME = '_X_AMZN_TRACE_ID';
const SAMPLED = /\bSampled=1\b/;

const hasOwn = Object.prototype.hasOwnProperty;
const real = process.env;
const inherited = Object.create(Object.getPrototypeOf(real));

function install() {
  Object.setPrototypeOf(real, inherited);
}

function set(value) {
  if (value) inherited[NAME] = value;
  else delete inherited[NAME];
  if (process.env !== real) {
    if (value) process.env[NAME] = value; // the function has replaced process.env
    else delete process.env[NAME];
  } else if (value && SAMPLED.test(value)) {
    real[NAME] = value;
  } else if (hasOwn.call(real, NAME)) {
    delete real[NAME]; // of an invocation that X-Ray recorded, or set by the function
  }
}

module.exports = { install, set };
