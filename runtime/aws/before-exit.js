'use strict';
// What happens once nothing is left to run. The listener lies where AWS's clients have it, since APM agents wrap it.

const LISTENER = Symbol.for('aws.lambda.beforeExit');

let watching = false;
let shared = false;

function nothing() {}

function watch() {
  watching = true;
  global[LISTENER] = nothing;
  process.on('beforeExit', () => global[LISTENER]());
}

// Several invocations at once share one event loop: none of them can tell when it alone has nothing left to run.
function share() {
  shared = true;
}

function then(act) {
  if (!shared) global[LISTENER] = act;
}

function reset() {
  if (watching) global[LISTENER] = nothing;
}

function possible() {
  return !shared;
}

function neverAnswered() {
  const named = require('./errors.js').named;
  return named(
    'Runtime.NoAnswer',
    'the handler can never answer: its promise is pending and nothing is left to run (an await on something that was lost?)'
  );
}

module.exports = { watch, share, then, reset, possible, neverAnswered };
