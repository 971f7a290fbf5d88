'use strict';
// One call of a handler that answers as a whole: by promise, by return value, by callback, or by context.done, succeed
// and fail. The first answer wins. docs/runtime.md says where AWS's clients differ from one another and from this.

const idle = require('./before-exit.js');

const CALLBACK_PARAMETERS = 3;
// AWS's runtime takes what a plain function returns from Node.js 24 on, and takes it at once; up to 22 it is ignored, and
// the function is done when nothing is left to run.
const RETURNED_COUNTS = Number(process.version.slice(1).split('.')[0]) >= 24;
// A plain function that answers by these may return whatever it likes: a timer, say.
const REACHES = /\b(?:done|succeed|fail)\b/;

// Calls succeed(value) or fail(thrown), once.
function invoke(handler, event, context, succeed, fail) {
  let answered = false;
  let promised = null; // a callback's answer that waits until nothing is left to run

  function settle(act, value) {
    if (answered) return;
    answered = true;
    idle.reset();
    act(value);
  }

  function callback(error, value) {
    if (answered || promised !== null) return;
    if (error !== undefined && error !== null) return settle(fail, error);
    if (!context.callbackWaitsForEmptyEventLoop || !idle.possible()) return settle(succeed, value);
    promised = { value };
    idle.then(() => settle(succeed, value));
  }

  function done(error, value) {
    if (error !== undefined && error !== null) settle(fail, error);
    else settle(succeed, value);
  }

  context.done = done;
  context.succeed = (value) => done(null, value);
  context.fail = (error) => done(error === undefined || error === null ? 'handled' : error);

  let returned;
  let thenable;
  try {
    returned = handler(event, context, callback);
    thenable = isThenable(returned);
  } catch (error) {
    if (promised === null) settle(fail, error);
    return;
  }
  if (thenable) {
    if (promised === null && !answered) idle.then(() => settle(fail, idle.neverAnswered()));
    promiseOf(returned).then(
      (value) => settle(succeed, promised === null ? value : promised.value),
      (error) => settle(fail, error)
    );
  } else if (!answered && promised === null) {
    const counts = returned !== undefined && handler.length < CALLBACK_PARAMETERS;
    const value = counts ? returned : null;
    const now = counts && RETURNED_COUNTS && !REACHES.test(Function.prototype.toString.call(handler));
    if (now || !idle.possible()) {
      if (now || handler.length < CALLBACK_PARAMETERS) settle(succeed, value);
    } else {
      idle.then(() => settle(succeed, value));
    }
  }
}

// Not in line above: a closure there would keep what was returned, the whole answer, until the next full collection.
function promiseOf(thenable) {
  return thenable instanceof Promise ? thenable : new Promise((resolve) => resolve(thenable));
}

function isThenable(value) {
  return value !== null && (typeof value === 'object' || typeof value === 'function') && typeof value.then === 'function';
}

module.exports = { invoke, isThenable };
