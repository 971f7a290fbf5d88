'use strict';
// One call of the handler: its answer by promise, by callback, or by context.done, succeed and fail. The first wins.

const named = require('./errors.js').named;

function invoke(handler, event, context) {
  return new Promise((resolve, reject) => {
    let settled = false;
    // With nothing left to run no answer can come any more. A handler that neither returned a promise nor called
    // back has done its work then, as AWS's own runtimes see it; a promise that still waits never will.
    let whenIdle = () => resolve(null);
    const idle = () => whenIdle();
    process.once('beforeExit', idle);

    function settle(act, value) {
      if (settled) return;
      settled = true;
      process.removeListener('beforeExit', idle);
      act(value);
    }

    function callback(error, value) {
      if (settled) return;
      if (error !== undefined && error !== null) {
        settle(reject, error);
      } else if (context.callbackWaitsForEmptyEventLoop) {
        settled = true;
        whenIdle = () => resolve(value);
      } else {
        settle(resolve, value);
      }
    }

    context.done = (error, value) => {
      context.callbackWaitsForEmptyEventLoop = false;
      callback(error, value);
    };
    context.succeed = (value) => context.done(null, value);
    context.fail = (error) => context.done(error === undefined || error === null ? 'handled' : error);

    let returned;
    try {
      returned = handler(event, context, callback);
    } catch (error) {
      settle(reject, error);
      return;
    }
    if (returned && typeof returned.then === 'function') {
      if (!settled) {
        whenIdle = () => reject(named('Runtime.NoAnswer', 'the handler has nothing left to do and never answered'));
      }
      returned.then((value) => settle(resolve, value), (error) => settle(reject, error));
    }
  });
}

module.exports = { invoke };
