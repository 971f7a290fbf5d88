'use strict';
// Handlers that are no async functions.
exports.object = () => ({ returned: 1 });
exports.text = () => 'returned';
exports.null = () => null;
exports.nothing = () => {};
exports.zero = () => 0;
exports.false = () => false;
exports.nothingWithTimer = () => {
  setTimeout(() => {}, 30);
};
exports.objectWithTimer = () => {
  setTimeout(() => {}, 30);
  return { returned: 1 };
};
exports.thenable = () => ({ then: (resolve) => setTimeout(resolve, 5, { by: 'thenable' }) });
exports.thenableAtOnce = () => ({ then: (resolve) => resolve('now') });
exports.rejectingThenable = () => ({ then: (_, reject) => setTimeout(reject, 5, new RangeError('thenable')) });
exports.throwingThenable = () => ({
  then() {
    throw new TypeError('in then');
  },
});
exports.thenableOfThenable = () => ({ then: (resolve) => resolve({ then: (inner) => inner('deep') }) });
exports.functionThenable = () => Object.assign(() => {}, { then: (resolve) => resolve('a function with then') });
exports.notQuiteThenable = () => ({ then: 'a text' });
exports.twiceResolvingThenable = () => ({
  then(resolve, reject) {
    resolve('first');
    resolve('second');
    reject(new Error('third'));
  },
});
exports.pending = () => new Promise(() => {});
exports.pendingWithTimer = () => {
  setTimeout(() => {}, 30);
  return new Promise(() => {});
};
exports.foreignPromise = () => require('vm').runInNewContext('Promise.resolve({ from: "elsewhere" })');
exports.generator = function* () {
  yield 1;
};
exports.asyncIterable = async function* () {
  yield 1;
};
exports.asyncWithDefaults = async (event = {}, context = {}) => ({ id: context.awsRequestId });
exports.arguments = function () {
  return Promise.resolve({ count: arguments.length >= 2, event: typeof arguments[0], context: typeof arguments[1] });
};
exports.this = function () {
  return Promise.resolve({ bound: this !== undefined });
};
exports.throwing = () => {
  throw new TypeError('at once');
};
exports.class = class Handler {
  constructor() {
    this.made = true;
  }
};
exports.bound = async function () {
  return { my: this.my };
}.bind({ my: 'own' });
exports.leavesTimer = async () => {
  setTimeout(() => {}, 60000);
  return 'answered before the timer';
};
exports.leavesInterval = async () => {
  setInterval(() => {}, 50);
  return 'answered beside the interval';
};
exports.slow = (event) => new Promise((resolve) => setTimeout(resolve, 40, event));
