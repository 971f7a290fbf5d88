'use strict';

const { assert, test, hostile, AWS } = require('./harness.js');
const errors = require(`${AWS}/errors.js`);
const { describe } = errors;

const BODY = 200000;

test('an error is its name, its message and its stack in lines', () => {
  const error = new RangeError('too far');
  assert.deepStrictEqual(describe(error), {
    errorType: 'RangeError', errorMessage: 'too far', trace: error.stack.split('\n'),
  });
});

test('what looks like an error is one', () => {
  const like = { name: 'Like', message: 'an error', stack: 'Like: an error\n    at here:1:2' };
  assert.deepStrictEqual(describe(like), {
    errorType: 'Like', errorMessage: 'an error', trace: ['Like: an error', '    at here:1:2'],
  });
});

test('a name given later is the type', () => {
  const error = new Error('m');
  error.name = 'Shop.SoldOut';
  assert.strictEqual(describe(error).errorType, 'Shop.SoldOut');
});

test('an error without a stack still has a trace, one without a name a type', () => {
  const error = new Error('m');
  error.stack = undefined;
  error.name = 3;
  assert.deepStrictEqual(describe(error), { errorType: 'Error', errorMessage: 'm', trace: ['Error: m'] });
});

test('DEL goes out as %7F', () => {
  const error = new Error('a\x7fb');
  error.name = 'N\x7f';
  error.stack = 'x\x7fy';
  assert.deepStrictEqual(describe(error), { errorType: 'N%7F', errorMessage: 'a%7Fb', trace: ['x%7Fy'] });
});

test('other values say what they are', () => {
  const told = (value) => {
    const { errorType, errorMessage, trace } = describe(value);
    assert.deepStrictEqual(trace, []);
    return `${errorType} ${errorMessage}`;
  };
  assert.strictEqual(told('only text'), 'string only text');
  assert.strictEqual(told(undefined), 'undefined undefined');
  assert.strictEqual(told(null), 'null null');
  assert.strictEqual(told(7), 'number 7');
  assert.strictEqual(told(7n), 'bigint 7');
  assert.strictEqual(told(Symbol('s')), 'symbol Symbol(s)');
  assert.strictEqual(told({ a: [1, { b: 2n }] }), 'object {"a":[1,{"b":"2"}]}');
  assert.strictEqual(told([1, 'two']), 'object [1,"two"]');
  assert.strictEqual(told(new Map()), 'object [object Map]');
  assert.strictEqual(told({ toString: () => 'my own words' }), 'object my own words');
  assert.strictEqual(told(Object.create(null)), 'object {}');
});

test('a cycle in a thrown object is cut', () => {
  const value = { name: 'me' };
  value.self = value;
  assert.strictEqual(describe(value).errorMessage, '{"name":"me","self":"[Circular]"}');
});

test('the causes follow the stack', () => {
  const root = new TypeError('root');
  const middle = new Error('middle');
  middle.cause = root;
  const error = new Error('top');
  error.cause = middle;
  const lines = describe(error).trace.filter((line) => !/^\s+at /.test(line));
  assert.deepStrictEqual(lines, ['Error: top', 'Caused by: Error: middle', 'Caused by: TypeError: root']);
});

test('a cause that is no error is shown too', () => {
  const error = new Error('top');
  error.cause = { status: 503 };
  assert.strictEqual(describe(error).trace.pop(), 'Caused by: {"status":503}');
});

test('each error of an AggregateError is shown, but no list that is called errors by chance', () => {
  const error = new Error('all failed');
  error.errors = [new Error('one'), 'two', new Error('three')];
  const lines = describe(error).trace.filter((line) => line.startsWith('Caused by'));
  assert.deepStrictEqual(lines, ['Caused by (1 of 3): Error: one', 'Caused by (3 of 3): Error: three']);
});

test('what a rejection was about is shown', () => {
  const error = errors.named('Runtime.UnhandledPromiseRejection', 'Error: no');
  error.reason = new Error('no');
  assert.ok(describe(error).trace.includes('Caused by: Error: no'));
});

test('causes in a circle, and too many of them, come to an end', () => {
  const circle = new Error('circle');
  circle.cause = circle;
  assert.strictEqual(describe(circle).trace.pop(), 'Caused by: [shown above]');
  let chain = new Error('0');
  for (let count = 1; count < 1000; count++) {
    const next = new Error(String(count));
    next.cause = chain;
    chain = next;
  }
  assert.strictEqual(describe(chain).trace.pop(), 'Caused by: [more causes than are shown]');
});

test('a body stays below 200 kB and says that it was cut', () => {
  const sized = (error) => {
    const body = JSON.stringify(describe(error));
    assert.ok(Buffer.byteLength(body) < BODY, `${Buffer.byteLength(body)} bytes`);
    return body;
  };
  ['x', '\u0000', '\ud83d', 'ü', '\x7f', '\n', '"'].forEach((character) => {
    const text = character.repeat(3000000);
    assert.ok(sized(new Error(text)).includes('[cut: 3000000 characters in all]'), JSON.stringify(character));
    sized(text);
    const long = new Error('m');
    long.name = text;
    long.stack = text;
    assert.ok(sized(long).includes('[cut:'), JSON.stringify(character));
    const object = {};
    object.a = object.b = Array(10000).fill({ text });
    sized(object);
    sized(Object.assign(new Error('m'), { cause: new Error(text) }));
  });
});

test('the frames of an error with a huge message survive', () => {
  assert.ok(describe(new Error('x'.repeat(3000000))).trace.some((line) => /^\s+at .*errors\.test\.js/.test(line)));
});

test('a long message that fits is whole: callers parse JSON out of it', () => {
  const text = JSON.stringify({ detail: 'y'.repeat(60000) });
  assert.strictEqual(describe(new Error(text)).errorMessage, text);
});

test('nothing that is thrown makes it throw', () => {
  hostile().forEach((thrown) => {
    const description = describe(thrown);
    assert.strictEqual(typeof description.errorType, 'string');
    assert.strictEqual(typeof description.errorMessage, 'string');
    assert.ok(description.trace.every((line) => typeof line === 'string'));
    JSON.parse(JSON.stringify(description));
    errors.headerType(description);
    JSON.stringify(errors.toLogValue(thrown, true));
    JSON.stringify(errors.toLogValue(thrown, false));
  });
});

test('a header value is visible ASCII, bounded, never empty', () => {
  assert.strictEqual(errors.headerType({ errorType: 'Runtime.ExitError' }), 'Runtime.ExitError');
  assert.strictEqual(errors.headerType({ errorType: 'Fehler\r\nX: ü' }), 'Fehler??X: ?');
  assert.strictEqual(errors.headerType({ errorType: ' \n ' }), '?');
  assert.strictEqual(errors.headerType({ errorType: '' }), 'Error');
  assert.strictEqual(errors.headerType({ errorType: 'x'.repeat(5000) }).length, 256);
});

test('a named error begins its stack with its name, where it was made', () => {
  const error = errors.named('Runtime.Some', 'message');
  const lines = error.stack.split('\n');
  assert.strictEqual(lines[0], 'Runtime.Some: message');
  assert.ok(lines[1].includes('errors.test.js'), lines[1]);
  assert.deepStrictEqual(Object.keys(error), []);
});
