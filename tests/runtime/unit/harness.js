'use strict';
// The least of a test runner: Node.js 12 has none. `test(name, run)` in a file; run(file) in a process of its own.

const assert = require('assert');
const { spawnSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const AWS = path.resolve(__dirname, '../../../runtime/aws');
const MAJOR = Number(process.versions.node.split('.')[0]);
const tests = [];
const folders = [];

function test(name, run) {
  if (tests.push({ name, run }) === 1) setImmediate(runAll);
}

async function runAll() {
  let failed = 0;
  for (const { name, run } of tests) {
    try {
      await run();
    } catch (error) {
      failed += 1;
      fs.writeSync(1, `FAILED: ${name}\n${error && error.stack}\n`);
    }
  }
  fs.writeSync(1, `${tests.length} tests, ${failed} failed\n`);
  process.exit(failed ? 1 : 0);
}

// What a program writes: { out, err, code }; `aws` is the folder of the modules in it.
function node(program, env) {
  const options = { env: Object.assign({ PATH: process.env.PATH }, env), maxBuffer: 1 << 28 };
  const source = `'use strict'; const aws = ${JSON.stringify(`${AWS}/`)};\n${program}`;
  const done = spawnSync(process.execPath, ['-e', source], options);
  return { out: done.stdout.toString(), err: done.stderr.toString(), code: done.status, bytes: done.stdout };
}

// A folder that goes away with the process.
function folder(files) {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'unit-')));
  if (folders.push(root) === 1) process.on('exit', removeFolders);
  Object.keys(files).forEach((name) => {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    fs.writeFileSync(path.join(root, name), files[name]);
  });
  return root;
}

function removeFolders() {
  folders.forEach((root) => (fs.rmSync || fs.rmdirSync)(root, { recursive: true }));
}

// Everything that a program may throw and that hurts those who look at it.
function hostile() {
  const angry = () => {
    throw new Error('do not touch');
  };
  const traps = {};
  Object.getOwnPropertyNames(Reflect).forEach((name) => (traps[name] = angry));
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const getters = new Error('with getters');
  ['stack', 'name', 'message', 'cause', 'errors', 'code', 'constructor'].forEach((key) => {
    Object.defineProperty(getters, key, { get: angry, enumerable: true });
  });
  const circle = new Error('circle');
  circle.cause = new Error('half', { cause: circle });
  circle.cause.cause = circle;
  circle.self = circle;
  const odd = new Error('odd');
  odd.name = { toString: angry };
  odd.message = 17;
  odd.stack = [1, 2];
  const noStack = new Error('no stack');
  noStack.stack = undefined;
  const self = { toJSON: () => self };
  return [
    null, undefined, '', 'text', 0, NaN, false, 10n ** 30n, Symbol('s'), () => 1, angry, [], {}, [[[[[[[[1]]]]]]]],
    new Map([[1, 2]]), new Date(NaN), Object.create(null), Buffer.alloc(10), self, { toJSON: angry }, { toJSON: () => undefined },
    Object.assign(() => 1, { toString: angry, toJSON: angry }),
    { toString: angry }, { get value() { return angry(); } }, new Proxy({}, traps), new Proxy(new Error('p'), traps),
    new Proxy(() => 1, traps), revoked.proxy, getters, circle, odd, noStack, Object.freeze(new Error('frozen')),
    { name: 'Like', message: 'an error', stack: 'Like: an error\n    at here:1:2' },
  ];
}

module.exports = { assert, test, node, folder, hostile, AWS, MAJOR };
