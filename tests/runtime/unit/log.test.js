'use strict';

const { spawn } = require('child_process');
const { assert, test, node, folder, hostile, AWS } = require('./harness.js');

const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t/;
const install = 'const log = require(aws + "log.js"); log.install(process.env);';

// The lines that a program logs, without their timestamps.
function text(program, env) {
  const done = node(`${install} ${program}`, env);
  assert.strictEqual(done.err, '');
  assert.ok(done.out === '' || done.out.endsWith('\n'));
  return done.out.split('\n').slice(0, -1).map((line) => {
    assert.ok(STAMP.test(line), line);
    return line.replace(STAMP, '');
  });
}

function json(program, env) {
  const done = node(`${install} ${program}`, Object.assign({ AWS_LAMBDA_LOG_FORMAT: 'JSON' }, env));
  assert.strictEqual(done.err, '');
  return done.out.split('\n').slice(0, -1).map((line) => {
    const { timestamp, ...rest } = JSON.parse(line);
    assert.strictEqual(new Date(timestamp).toISOString(), timestamp);
    return rest;
  });
}

test('any thrown value is logged', () => {
  const count = hostile().length;
  const harness = JSON.stringify(require.resolve('./harness.js'));
  const program = `require(${harness}).hostile().forEach((thrown) => log.error('Invoke Error', thrown));`;
  assert.strictEqual(text(program).length, count);
  assert.strictEqual(json(program).length, count);
});

test('the runtime logs even if a library has replaced console.error', () => {
  assert.deepStrictEqual(text('console.error = console.warn = () => { throw new Error("mine"); }; log.warn("still");'), [
    '-\tWARN\tstill',
  ]);
});

test('timestamps are those of Date', () => {
  const done = node(`${install}
    for (const day of ['1999-12-31', '2000-02-29', '2024-02-29', '2024-12-31', '2025-03-01', '2100-02-28', '2400-02-29']) {
      for (const clock of ['00:00:00.000', '09:08:07.006', '23:59:59.999']) {
        Date.now = () => Date.parse(day + 'T' + clock + 'Z');
        console.log(day + 'T' + clock + 'Z');
      }
    }`);
  done.out.trim().split('\n').forEach((line) => assert.strictEqual(line.split('\t')[0], line.split('\t')[3]));
});

function frames(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    const micros = bytes.readUInt32BE(at + 8) * 2 ** 32 + bytes.readUInt32BE(at + 12);
    found.push({ type: bytes.readUInt32BE(at), micros, body: bytes.slice(at + 16, at + 16 + length).toString() });
    at += 16 + length;
  }
  return found;
}

test('frames have type, level, length and microseconds, and keep newlines', () => {
  const before = Date.now();
  const done = node(`${install} console.trace('a'); console.debug('b'); console.log('c\\nü'); console.warn('d');
    console.error('e'); console.fatal('f'); console.log(String(process.env._LAMBDA_TELEMETRY_LOG_FD));`,
    { _LAMBDA_TELEMETRY_LOG_FD: '1' });
  const found = frames(done.bytes);
  const masks = [4, 8, 12, 16, 20, 24, 12];
  assert.deepStrictEqual(found.map(({ type }) => type), masks.map((mask) => (0xa55a0003 | mask) >>> 0));
  assert.ok(found.every(({ micros }) => micros >= before * 1000 && micros <= Date.now() * 1000 && micros % 1000 === 0));
  assert.strictEqual(found[2].body.replace(STAMP, ''), '-\tINFO\tc\nü\n');
  assert.strictEqual(found[6].body.split('\t')[3], 'undefined\n');
});

test('frames with JSON have their own type', () => {
  const env = { _LAMBDA_TELEMETRY_LOG_FD: '1', AWS_LAMBDA_LOG_FORMAT: 'JSON' };
  const found = frames(node(`${install} console.log({ a: 'b\\nc' }); console.fatal('f');`, env).bytes);
  assert.deepStrictEqual(found.map(({ type }) => type), [0xa55a000e, 0xa55a001a]);
  assert.deepStrictEqual(JSON.parse(found[0].body).message, { a: 'b\nc' });
});

test('an invalid log descriptor is ignored', () => {
  ['', 'x', '-1', '1.5'].forEach((value) => {
    assert.deepStrictEqual(text('console.log("x")', { _LAMBDA_TELEMETRY_LOG_FD: value }), ['-\tINFO\tx']);
  });
});

test('a crash loses no line', () => {
  const lines = text('for (let i = 0; i < 5000; i++) console.log(i + "x".repeat(200)); process.kill(process.pid, "SIGKILL");');
  assert.strictEqual(lines.length, 5000);
});

// The pipe does not block and is read slowly, so writes are partial and fail with EAGAIN.
test('a full pipe loses no byte', async () => {
  const program = `'use strict'; const net = require('net'); new net.Socket({ fd: 1 });
    const log = require(${JSON.stringify(`${AWS}/log.js`)}); log.install(process.env);
    for (let i = 0; i < 40; i++) console.log(String(i).padStart(3, '0') + 'ü'.repeat(50000));
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks = [];
  await new Promise((resolve) => {
    child.stdout.on('data', (chunk) => {
      chunks.push(chunk);
      child.stdout.pause();
      setTimeout(() => child.stdout.resume(), 1);
    });
    child.stdout.on('end', resolve);
  });
  const lines = Buffer.concat(chunks).toString().split('\n').slice(0, -1);
  assert.strictEqual(lines.length, 40);
  lines.forEach((line, at) => {
    assert.strictEqual(line.split('\t')[3], String(at).padStart(3, '0') + 'ü'.repeat(50000));
  });
});

test('a closed stdout does not stop the process', async () => {
  const program = `const log = require(${JSON.stringify(`${AWS}/log.js`)}); log.install(process.env);
    require('fs').readFileSync(0);
    for (let i = 0; i < 100; i++) console.log('x'.repeat(10000)); log.error('Invoke Error', 1); process.exit(7);`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdout.destroy();
  child.stdin.end();
  assert.strictEqual(await new Promise((resolve) => child.on('exit', resolve)), 7);
});

test('logging a line loads no built-in module but fs', () => {
  const other = `require(${JSON.stringify(`${folder({ 'empty.js': '' })}/empty.js`)}); require('fs');
    const had = new Set(process.moduleLoadList);`;
  const done = node(`${other} ${install} log.setInvocation('a'); console.log('x');
    require('fs').writeSync(2, process.moduleLoadList.filter((name) => !had.has(name)).join());`);
  assert.strictEqual(done.err, '');
});

test('installing the log loads no built-in module', () => {
  const done = node(`require(${JSON.stringify(`${folder({ 'empty.js': '' })}/empty.js`)});
    const had = new Set(process.moduleLoadList); ${install} log.setInvocation('a');
    const news = process.moduleLoadList.filter((name) => !had.has(name)); require('fs').writeSync(2, news.join());`);
  assert.strictEqual(done.err, '');
});
