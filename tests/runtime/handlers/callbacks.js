'use strict';
// Handlers that respond by callback or by context.done, succeed and fail.
exports.success = (event, context, callback) => callback(null, { got: event });
exports.undefinedError = (event, context, callback) => callback(undefined, 'fine');
exports.noArguments = (event, context, callback) => callback();
exports.falseError = (event, context, callback) => callback(false, 'not reached');
exports.emptyTextError = (event, context, callback) => callback('', 'not reached');
exports.zeroError = (event, context, callback) => callback(0, 'not reached');
exports.error = (event, context, callback) => callback(new RangeError('too far'));
exports.textError = (event, context, callback) => callback('only text');
exports.objectError = (event, context, callback) => callback({ reason: 'object' });
exports.errorAndValue = (event, context, callback) => callback(new Error('wins'), { value: 'lost' });
exports.later = (event, context, callback) => {
  setTimeout(callback, 20, null, 'later');
};
exports.waitsForTimers = (event, context, callback) => {
  const start = Date.now();
  const told = { waited: false };
  setTimeout(() => {
    told.waited = Date.now() - start >= 38;
  }, 40);
  callback(null, told);
};
exports.doesNotWait = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setTimeout(() => {}, 60000);
  callback(null, 'at once');
};
exports.twice = (event, context, callback) => {
  callback(null, 'first');
  callback(null, 'second');
};
exports.successThenError = (event, context, callback) => {
  callback(null, 'first');
  callback(new Error('second'));
};
exports.successThenThrow = (event, context, callback) => {
  callback(null, 'first');
  throw new Error('then thrown');
};
exports.successThenLaterThrow = (event, context, callback) => {
  callback(null, 'first');
  setTimeout(() => {
    throw new Error('thrown while it waited');
  }, 10);
};
exports.callbackThenPromise = async (event, context, callback) => {
  callback(null, 'by callback');
  return 'by promise';
};
exports.promiseAfterCallbackLater = (event, context, callback) => {
  setTimeout(callback, 30, null, 'by callback');
  return Promise.resolve('by promise');
};
exports.callbackErrorThenPromise = async (event, context, callback) => {
  callback(new Error('by callback'));
  return 'by promise';
};
exports.callbackInsideAsync = async (event, context, callback) => {
  await new Promise((resolve) => setTimeout(resolve, 10));
  context.callbackWaitsForEmptyEventLoop = false;
  callback(null, 'by callback');
  return new Promise(() => {});
};
exports.returnsBesideCallback = (event, context, callback) => {
  setTimeout(callback, 20, null, 'by callback');
  return 'returned';
};
exports.neverCalls = (event, context, callback) => {
  void callback;
};
exports.neverCallsReturns = (event, context, callback) => {
  void callback;
  return 'returned';
};
exports.neverCallsForLong = (event, context, callback) => {
  void callback;
  setTimeout(() => {}, 60000);
};
exports.unserialisable = (event, context, callback) => {
  const one = {};
  one.one = one;
  callback(null, one);
};
exports.restParameters = (...all) => all[2](null, { count: all.length });
exports.defaultParameters = (event, context = {}, callback = () => {}) => callback(null, 'by defaults');
exports.done = (event, context) => context.done(null, { got: event });
exports.doneError = (event, context) => context.done(new RangeError('done'));
exports.doneNothing = (event, context) => context.done();
exports.doneText = (event, context) => context.done('only text');
exports.doneDoesNotWait = (event, context) => {
  setTimeout(() => {}, 60000);
  context.done(null, 'at once');
};
exports.succeed = (event, context) => context.succeed({ got: event });
exports.succeedNothing = (event, context) => context.succeed();
exports.succeedBeforeReturn = (event, context) => {
  setTimeout(context.succeed, 20, 'succeeded');
  return 'returned';
};
exports.fail = (event, context) => context.fail(new SyntaxError('failed'));
exports.failText = (event, context) => context.fail('only text');
exports.failNothing = (event, context) => context.fail();
exports.failNull = (event, context) => context.fail(null);
exports.succeedThenFail = (event, context) => {
  context.succeed('first');
  context.fail(new Error('second'));
};
exports.promiseThenDone = async (event, context) => {
  setTimeout(context.done, 20, null, 'done');
  await new Promise((resolve) => setTimeout(resolve, 60));
  return 'returned';
};
exports.countsWithTimers = (() => {
  let fired = 0;
  return (event, context, callback) => {
    context.callbackWaitsForEmptyEventLoop = false;
    const seen = fired;
    setTimeout(() => {
      fired += 1;
    }, 1);
    setTimeout(callback, event.after || 0, null, { seen });
  };
})();
// An APM agent: it replaces what reports the outcome, and reports it itself.
const observed = (handler) => (event, context, callback) => {
  for (const name of ['succeed', 'fail']) {
    const report = context[name];
    context[name] = (value) => report(name === 'fail' ? new RangeError(`seen: ${value.message}`) : { seen: value });
  }
  return handler(event, context, callback);
};
exports.observedPromise = observed(async () => 'value');
exports.observedRejection = observed(async () => {
  throw new Error('reason');
});
// aws-serverless-express returns its server, and calls context.succeed later.
const proxy = (event, context) => {
  const server = require('http').createServer().listen(0, '127.0.0.1', () => {
    server.close(() => context['succeed']({ by: 'a library' }));
  });
  return server;
};
exports.libraryReturnsServer = (event, context) => proxy(event, context);
