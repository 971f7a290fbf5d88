'use strict';
// What a handler may write to its log.
const log = (...all) => async () => {
  console.log(...all);
};
exports.text = log('a line');
exports.empty = log('');
exports.nothing = async () => {
  console.log();
};
exports.lines = log('first\nsecond\n\nlast\n');
exports.carriageReturn = log('a\r\nb');
exports.tab = log('a\tb');
exports.format = log('%s is %d of %j, %o %%', 'one', 1, { a: 1 }, [2], 'rest');
exports.many = log('a', 1, true, null, undefined, { b: [1] });
exports.object = log({ a: 1, b: { c: { d: { e: 1 } } } });
exports.array = log([1, 'two']);
exports.null = log(null);
exports.undefined = log(undefined);
exports.number = log(7);
exports.bigInt = log(BigInt(7));
exports.symbol = log(Symbol('s'));
exports.function = async () => {
  console.log(function named() {});
};
exports.map = log(new Map([['a', 1]]));
exports.date = log(new Date(0));
exports.cyclic = async () => {
  const one = { name: 'one' };
  one.self = one;
  console.log(one);
};
exports.unicode = log('\u00fc \u{1f600} \u2028');
exports.escape = log('\u001b[31mred\u001b[0m');
exports.error = async () => {
  console.error(new TypeError('logged'));
};
exports.errorAndText = async () => {
  console.error('failed:', new TypeError('logged'));
};
exports.errorFirst = async () => {
  console.error(new TypeError('logged'), 'then text');
};
exports.ownError = async () => {
  class OwnError extends Error {}
  console.error(Object.assign(new OwnError('logged'), { code: 'E_OWN', extra: { a: 1 } }));
};
exports.errorInside = async () => {
  console.error({ failed: new Error('inside'), a: 1 });
};
exports.twoErrors = async () => {
  console.error(new Error('one'), new Error('two'));
};
exports.levels = async () => {
  for (const level of ['trace', 'debug', 'info', 'log', 'warn', 'error', 'fatal']) {
    if (console[level]) console[level](`by ${level}`);
  }
};
exports.others = async () => {
  console.assert(true, 'not shown');
  console.group('group');
  console.log('inside');
  console.groupEnd();
  console.count();
};
exports.dir = async () => {
  console.dir({ a: 1 });
};
exports.table = async () => {
  console.table([{ a: 1 }]);
};
exports.stdout = async () => {
  process.stdout.write('straight to stdout\n');
};
exports.stderr = async () => {
  process.stderr.write('straight to stderr\n');
};
exports.long = log('x'.repeat(300000));
exports.extracted = async () => {
  const { log: own, error } = console;
  own('without its object');
  error('error without its object');
};
exports.replaced = async () => {
  const before = console.log;
  console.log = (...all) => before('[own]', ...all);
  console.log('replaced');
  console.log = before;
};
exports.kinds = async () => ({ same: console.log === console.info, fatal: typeof console.fatal, trace: typeof console.trace });
exports.order = async () => {
  console.log('1');
  console.error('2');
  process.stdout.write('3\n');
  console.warn('4');
};
exports.afterwards = async () => {
  setTimeout(() => console.log('after the answer'), 20);
  return 'answered';
};
exports.beforeExit = async () => {
  console.log('the last line');
  process.exit(1);
};
exports.twice = async (event) => {
  console.log(`event ${event.n}`);
};
exports.toJson = log({ toJSON: () => 'as JSON' });
exports.throwingToJson = log({ a: 1, toJSON() { throw new Error('no JSON'); } });
exports.throwing = async () => {
  throw Object.assign(new TypeError('thrown'), { code: 'E_T', extra: 1 });
};
