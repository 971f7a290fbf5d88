'use strict';
// Calls a handler whose response is sent as a whole: a promise, a return value, a callback, or context.done, succeed or
// fail. The first one counts. docs/runtime.md says where AWS's clients differ from each other and from this one.

const beforeExit = require('./before-exit.js');

const CALLBACK_PARAMETERS = 3;
// On Node.js 24 and later AWS's runtime takes the return value of a plain function as the response, at once. On older
// versions it ignores the value and responds when the event loop is empty.
const RETURN_VALUE_COUNTS = Number(process.version.slice(1).split('.')[0]) >= 24;
// A plain function that calls these may return anything, for example a timer.
const CONTEXT_CALLS = /\b(?:done|succeed|fail)\b/;

// Calls succeed(value) or fail(thrown), once.
function invoke(handler, event, context, succeed, fail) {
  let settled = false;
  let waiting = null; // { value } of a callback, until the event loop is empty

  function settle(action, value) {
    if (settled) return;
    settled = true;
    beforeExit.cancel();
    action(value);
  }

  function callback(error, value) {
    if (settled || waiting !== null) return;
    if (error !== undefined && error !== null) return settle(fail, error);
    if (!context.callbackWaitsForEmptyEventLoop || !beforeExit.isEnabled()) return settle(succeed, value);
    waiting = { value };
    beforeExit.schedule(() => settle(succeed, value));
  }

  function done(error, value) {
    if (error !== undefined && error !== null) settle(fail, error);
    else settle(succeed, value);
  }

  const contextSucceed = (value) => done(null, value);
  const contextFail = (error) => done(error === undefined || error === null ? 'handled' : error);
  context.done = done;
  context.succeed = contextSucceed;
  context.fail = contextFail;

  let returned;
  let thenable;
  try {
    returned = handler(event, context, callback);
    thenable = isThenable(returned);
  } catch (error) {
    if (waiting === null) settle(fail, error);
    return;
  }
  if (thenable) {
    if (waiting === null && !settled) {
      beforeExit.schedule(() => settle(fail, require('./error-report.js').noAnswer()));
    }
    // APM agents replace context.succeed and context.fail to see the outcome of a promise, too.
    const { succeed: onValue, fail: onError } = context;
    toPromise(returned).then(
      (value) => {
        if (waiting !== null) settle(succeed, waiting.value);
        else if (onValue === contextSucceed || typeof onValue !== 'function') settle(succeed, value);
        else onValue.call(context, value);
      },
      (error) => {
        if (onError === contextFail || typeof onError !== 'function') settle(fail, error);
        else onError.call(context, error);
      }
    );
  } else if (!settled && waiting === null) {
    const takesCallback = handler.length >= CALLBACK_PARAMETERS;
    const counts = returned !== undefined && !takesCallback;
    const value = counts ? returned : null;
    const atOnce = counts && RETURN_VALUE_COUNTS && !isHandle(returned) && !callsContext(handler);
    if (!atOnce && beforeExit.isEnabled()) beforeExit.schedule(() => settle(succeed, value));
    else if (!takesCallback) settle(succeed, value);
  }
}

// A function of its own, because a closure in invoke() would keep the whole response in memory until the next full
// garbage collection.
function toPromise(thenable) {
  return thenable instanceof Promise ? thenable : new Promise((resolve) => resolve(thenable));
}

// A server, socket, timer or the like: its work goes on, so it is not the response of a handler.
function isHandle(value) {
  return value !== null && typeof value === 'object' && typeof value.unref === 'function';
}

// Only the function's own text is known: a call in another function, or through another name, is not seen.
function callsContext(handler) {
  return CONTEXT_CALLS.test(Function.prototype.toString.call(handler));
}

function isThenable(value) {
  return value !== null && (typeof value === 'object' || typeof value === 'function') && typeof value.then === 'function';
}

module.exports = { invoke, isThenable };
