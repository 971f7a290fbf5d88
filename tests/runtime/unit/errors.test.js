'use strict';

const { assert, test, hostile, AWS } = require('./harness.js');
const errors = require(`${AWS}/errors.js`);
const { describe } = errors;

const BODY = 200000;

test('a cycle in a thrown object is replaced', () => {
  const value = { name: 'me' };
  value.self = value;
  assert.strictEqual(describe(value).errorMessage, '{"name":"me","self":"[Circular]"}');
});

test('a cause that is not an error is shown', () => {
  const error = new Error('top');
  error.cause = { status: 503 };
  assert.strictEqual(describe(error).trace.pop(), 'Caused by: {"status":503}');
});

test('the errors of an AggregateError are shown, but no other list named errors', () => {
  const error = new Error('all failed');
  error.errors = [new Error('one'), 'two', new Error('three')];
  const lines = describe(error).trace.filter((line) => line.startsWith('Caused by'));
  assert.deepStrictEqual(lines, ['Caused by (1 of 3): Error: one', 'Caused by (3 of 3): Error: three']);
});

test('the trace ends for circular causes and after 20 causes', () => {
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

test('a report stays below 200 kB and says that it was cut', () => {
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

test('a huge message leaves room for the frames', () => {
  assert.ok(describe(new Error('x'.repeat(3000000))).trace.some((line) => /^\s+at .*errors\.test\.js/.test(line)));
});

test('a message of 60 kB is kept, because callers parse JSON in it', () => {
  const text = JSON.stringify({ detail: 'y'.repeat(60000) });
  assert.strictEqual(describe(new Error(text)).errorMessage, text);
});

test('describing any thrown value never throws', () => {
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
