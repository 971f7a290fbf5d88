'use strict';

const { execFileSync } = require('child_process');
const { assert, test, AWS, MAJOR } = require('./harness.js');

const NAME = '_X_AMZN_TRACE_ID';
const traceId = require(`${AWS}/trace-id.js`);
const read = () => process.env[NAME];
const inChild = () => execFileSync('/bin/sh', ['-c', `echo "$${NAME}"`]).toString().trim();
const inWorker = () =>
  new Promise((resolve, reject) => {
    const { Worker } = require('worker_threads');
    const worker = new Worker(`require('worker_threads').parentPort.postMessage(String(process.env.${NAME}))`, { eval: true });
    worker.on('message', resolve).on('error', reject);
  });

process.env[NAME] = 'Root=0;Sampled=0'; // of the environment's start
traceId.install();

test('code reads the trace id of the current invocation', () => {
  for (const value of ['Root=1;Sampled=0', 'Root=2;Sampled=1', 'Root=3;Sampled=0', 'Root=4']) {
    traceId.set(value);
    assert.strictEqual(read(), value);
    assert.ok(NAME in process.env);
  }
  traceId.set(null);
  assert.strictEqual(read(), undefined);
  assert.ok(!(NAME in process.env));
});

test('children, workers and copies see the trace id of a sampled invocation, and never an older one', async () => {
  const sampled = 'Root=1;Sampled=1';
  traceId.set(sampled);
  assert.deepStrictEqual([inChild(), await inWorker(), Object.assign({}, process.env)[NAME]], [sampled, sampled, sampled]);
  assert.ok(Object.keys(process.env).includes(NAME));
  traceId.set('Root=2;Sampled=0');
  assert.notStrictEqual(inChild(), sampled);
  assert.strictEqual(await inWorker(), 'undefined');
});

test('process.env is the object of Node.js', () => {
  traceId.set('Root=1;Sampled=1');
  if (MAJOR >= 18) assert.strictEqual(structuredClone(process.env)[NAME], 'Root=1;Sampled=1');
  assert.ok(!require('util').types.isProxy(process.env));
  assert.ok(require('util').inspect(process.env).startsWith('{'));
  Object.defineProperty(process.env, NAME, { value: 'own', configurable: true, enumerable: true, writable: true });
  assert.ok(Object.keys(process.env).includes(NAME));
  process.env.OTHER = 1;
  assert.strictEqual(process.env.OTHER, '1');
});

test('what a function sets itself holds for one invocation', () => {
  traceId.set('Root=1;Sampled=0');
  process.env[NAME] = 'own';
  assert.strictEqual(read(), 'own');
  traceId.set('Root=2;Sampled=0');
  assert.strictEqual(read(), 'Root=2;Sampled=0');
});

test('a replaced process.env gets the trace id too', () => {
  process.env = Object.assign({}, process.env);
  traceId.set('Root=1;Sampled=0');
  assert.strictEqual(read(), 'Root=1;Sampled=0');
  traceId.set(undefined);
  assert.ok(!(NAME in process.env));
});
