'use strict';

const { assert, test, hostile, AWS } = require('./harness.js');
const { create } = require(`${AWS}/xray-error-cause.js`);

function withStack(...lines) {
  const error = new TypeError('m');
  error.stack = ['TypeError: m', ...lines].join('\n');
  return JSON.parse(create(error));
}

test('says where, what and the frames', () => {
  const told = withStack('    at one (/var/task/a.js:1:2)', '    at /var/task/b.js:30:4', '    at two (/var/task/a.js:5:6)');
  assert.deepStrictEqual(told, {
    working_directory: process.cwd(),
    exceptions: [
      {
        type: 'TypeError',
        message: 'm',
        stack: [
          { path: '/var/task/a.js', line: 1, label: 'one' },
          { path: '/var/task/b.js', line: 30, label: 'anonymous' },
          { path: '/var/task/a.js', line: 5, label: 'two' },
        ],
      },
    ],
    paths: ['/var/task/a.js', '/var/task/b.js'],
  });
});

test('knows every kind of frame', () => {
  const kinds = [
    ['async handler (file:///var/task/a.mjs:1:2)', '/var/task/a.mjs', 1, 'async handler'],
    ['async file:///var/task/a.mjs:3:4', '/var/task/a.mjs', 3, 'anonymous'],
    ['async Promise.all (index 0)', 'index 0', 0, 'async Promise.all'],
    ['new Thing (/a b/(c).js:7:8)', '/a b/(c).js', 7, 'new Thing'],
    ['process.processTicksAndRejections (node:internal/process/task_queues:105:5)',
      'node:internal/process/task_queues', 105, 'process.processTicksAndRejections'],
    ['node:internal/main/run_main_module:33:47', 'node:internal/main/run_main_module', 33, 'anonymous'],
    ['Object.go [as run] (/x.js:9:1)', '/x.js', 9, 'Object.go [as run]'],
    ['Array.map (<anonymous>)', '<anonymous>', 0, 'Array.map'],
    ['<anonymous>', '<anonymous>', 0, 'anonymous'],
  ];
  const told = withStack(...kinds.map(([frame]) => `    at ${frame}`));
  assert.deepStrictEqual(
    told.exceptions[0].stack.map(({ path, line, label }) => [path, line, label]),
    kinds.map(([, path, line, label]) => [path, line, label])
  );
});

test('a message of several lines is no frame, and neither is a cause', () => {
  const error = new Error('one\ntwo at three');
  error.cause = new Error('other');
  error.cause.stack = 'Error: other\n    at /cause.js:1:1';
  const { exceptions, paths } = JSON.parse(create(error));
  assert.strictEqual(exceptions[0].message, 'one\ntwo at three');
  assert.ok(!paths.includes('/cause.js'));
  assert.ok(exceptions[0].stack.every(({ line }) => line > 0));
});

test('is ASCII, and fits into a header, and stays JSON', () => {
  ['ü', '\u0000', '\x7f', '\ud83d\ude00', '"', 'x'].forEach((character) => {
    const error = new Error(character.repeat(100000));
    error.name = character.repeat(100000);
    error.stack += Array(5000).fill(`\n    at f (/${character.repeat(900)}:1:1)`).join('');
    const text = create(error);
    assert.ok(/^[\x20-\x7e]+$/.test(text));
    assert.ok(text.length <= 8000, `${text.length}`);
    assert.ok(JSON.parse(text).exceptions[0].type.startsWith(character === '\x7f' ? '%7F' : character));
  });
});

test('nothing that is thrown makes it throw', () => {
  hostile().forEach((thrown) => {
    const text = create(thrown);
    if (text !== '') assert.strictEqual(JSON.parse(text).exceptions.length, 1);
  });
  assert.strictEqual(JSON.parse(create('only text')).exceptions[0].message, 'only text');
});
