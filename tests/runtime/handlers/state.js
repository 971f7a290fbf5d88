'use strict';
// Several invocations in a row, in one process.
let count = 0;
exports.counts = async () => {
  count += 1;
  return count;
};
exports.failsAndGoesOn = async (event) => {
  count += 1;
  if (count % 2) throw new Error(`number ${count}`);
  return count;
};
exports.timerOfBefore = (() => {
  const fired = [];
  return async (event) => {
    setTimeout(() => fired.push(event.n), 10);
    if (event.wait) await new Promise((resolve) => setTimeout(resolve, event.wait));
    return fired.slice();
  };
})();
exports.logOfBefore = async (event) => {
  setTimeout(() => console.log(`timer of ${event.n}`), 10);
  if (event.wait) await new Promise((resolve) => setTimeout(resolve, event.wait));
  return event.n;
};
exports.throwOfBefore = async (event) => {
  if (event.n === 1) {
    setTimeout(() => {
      throw new Error('of the first');
    }, 60);
    return 1;
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  return event.n;
};
exports.callbackOfBefore = (() => {
  let before;
  return (event, context, callback) => {
    context.callbackWaitsForEmptyEventLoop = false;
    if (before) before(null, 'late answer of the first');
    before = callback;
    setTimeout(callback, 15, null, event.n);
  };
})();
exports.mixed = (event, context, callback) => {
  if (event.by === 'callback') return callback(null, event.n);
  if (event.by === 'done') return context.done(null, event.n);
  if (event.by === 'promise') return Promise.resolve(event.n);
  if (event.by === 'throw') throw new Error(String(event.n));
  if (event.by === 'error') return callback(new Error(String(event.n)));
  return undefined;
};
exports.slowOnce = async (event) => {
  count += 1;
  if (event.wait) await new Promise((resolve) => setTimeout(resolve, event.wait));
  return count;
};
exports.crashes = async (event) => {
  count += 1;
  if (event.crash) {
    setTimeout(() => {
      throw new Error('as asked');
    }, 5);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return count;
};
