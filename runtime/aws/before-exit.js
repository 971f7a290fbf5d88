'use strict';
// Runs an action when the event loop is empty. The listener lies where AWS's clients have it, because APM agents wrap it.

const LISTENER = Symbol.for('aws.lambda.beforeExit');

// Concurrent invocations never enable it: they share one event loop, which says nothing about any one of them.
let enabled = false;

function doNothing() {}

function enable() {
  enabled = true;
  global[LISTENER] = doNothing;
  process.on('beforeExit', () => global[LISTENER]());
}

function schedule(action) {
  if (enabled) global[LISTENER] = action;
}

function cancel() {
  if (enabled) global[LISTENER] = doNothing;
}

module.exports = { enable, isEnabled: () => enabled, schedule, cancel };
