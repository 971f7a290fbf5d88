'use strict';

const { spawn } = require('child_process');
const { assert, test, node, folder, hostile, AWS, MAJOR } = require('./harness.js');

const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t/;
const install = 'const log = require(aws + "log.js"); log.install(process.env);';

// The lines of a program on the patched console, each without its time.
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

test('text: time, request, level and message, with tabs between', () => {
  assert.deepStrictEqual(
    text(`log.setInvocation('id-1');
      console.trace('a'); console.debug('b'); console.log('c'); console.info('d');
      console.warn('e'); console.error('f'); console.fatal('g');`),
    ['TRACE\ta', 'DEBUG\tb', 'INFO\tc', 'INFO\td', 'WARN\te', 'ERROR\tf', 'FATAL\tg'].map((line) => `id-1\t${line}`)
  );
});

test('text: before the first invocation there is no request', () => {
  assert.deepStrictEqual(text('console.log("x")'), ['-\tINFO\tx']);
});

test('text: formatted as console does', () => {
  assert.deepStrictEqual(
    text(`console.log(); console.log('50 %% off'); console.log('50 %% off', 1); console.log('%s is %d', 'a', 1, 'b');
      console.log({ a: 1 }); console.log(null, undefined); console.log(-0);`),
    ['', '50 %% off', '50 % off 1', 'a is 1 b', '{ a: 1 }', 'null undefined', '-0'].map((line) => `-\tINFO\t${line}`)
  );
});

test('text: a message of several lines is one record', () => {
  const [line, ...others] = text('console.error(new Error("a\\nb"))');
  assert.deepStrictEqual(others, []);
  assert.ok(line.startsWith('-\tERROR\tError: a\rb\r    at '), line);
});

test('what console makes of other calls arrives as well', () => {
  const lines = text('console.assert(false, "odd"); console.count("c"); console.table([{ a: 1 }]);');
  assert.strictEqual(lines[0], '-\tWARN\tAssertion failed: odd');
  assert.strictEqual(lines[1], '-\tINFO\tc: 1');
  assert.ok(lines[2].includes('(index)'));
});

test('json: one object a line', () => {
  assert.deepStrictEqual(json(`log.setInvocation('id-1', 'tenant-1'); console.log('a\\nb'); console.warn('%s!', 'c');`), [
    { level: 'INFO', requestId: 'id-1', tenantId: 'tenant-1', message: 'a\nb' },
    { level: 'WARN', requestId: 'id-1', tenantId: 'tenant-1', message: 'c!' },
  ]);
});

test('json: a single value stays what it is', () => {
  const values = json('console.log({ a: [1, { b: null }] }); console.log(7); console.log([true]); console.log(null);');
  assert.deepStrictEqual(values.map(({ message }) => message), [{ a: [1, { b: null }] }, 7, [true], null]);
});

test('json: what has no JSON is formatted', () => {
  const values = json(`const o = { n: 1 }; o.o = o; console.log(o); console.log(1n); console.log(() => 1);
    console.log(Symbol('s')); console.log(undefined); console.log();`);
  assert.ok(/^(<ref \*1> )?\{ n: 1, o: \[Circular( \*1)?\] \}$/.test(values[0].message), values[0].message);
  const others = values.slice(1).map(({ message }) => message);
  assert.deepStrictEqual(others, ['1n', '[Function (anonymous)]', 'Symbol(s)', 'undefined', ''].map((one) => {
    return MAJOR < 14 && one === '[Function (anonymous)]' ? '[Function]' : one;
  }));
});

test('json: errors are taken apart, wherever they stand', () => {
  const [alone, inside, beside, own] = json(`
    class Mine extends RangeError {}
    console.error(new Mine('m')); console.error({ e: new TypeError('t') }); console.error('it', new Mine('n'), 1);
    console.error(Object.assign(new Error('o'), { code: 'E_O', cause: new Error('root') }));`);
  assert.strictEqual(alone.message.errorType, 'Mine');
  assert.strictEqual(alone.message.errorMessage, 'm');
  assert.ok(alone.message.stackTrace[1].startsWith('    at '));
  assert.strictEqual(inside.message.e.errorType, 'TypeError');
  assert.ok(beside.message.startsWith('it '));
  assert.strictEqual(beside.errorType, 'Mine');
  assert.strictEqual(beside.errorMessage, 'n');
  assert.ok(Array.isArray(beside.stackTrace));
  assert.strictEqual(own.message.code, 'E_O');
  assert.strictEqual(own.message.cause.errorMessage, 'root');
});

test('levels below the one asked for are silent; FATAL never is', () => {
  const program = `console.trace('a'); console.debug('b'); console.log('c'); console.info('d'); console.warn('e');
    console.error('f'); console.fatal('g'); log.error('Invoke Error', 1); log.warn('h');`;
  const levels = (level) => text(program, { AWS_LAMBDA_LOG_LEVEL: level }).map((line) => line.split('\t')[1]).join(' ');
  assert.strictEqual(levels('TRACE'), 'TRACE DEBUG INFO INFO WARN ERROR FATAL ERROR WARN');
  assert.strictEqual(levels('info'), 'INFO INFO WARN ERROR FATAL ERROR WARN');
  assert.strictEqual(levels('ERROR'), 'ERROR FATAL ERROR');
  assert.strictEqual(levels('FATAL'), 'FATAL');
  assert.strictEqual(levels('nonsense'), levels('TRACE'));
});

test('the request is where libraries look for it', () => {
  const [line] = text(`log.setInvocation('id-1', 'tenant-1');
    console.log(global[Symbol.for('aws.lambda.runtime.requestId')], global[Symbol.for('aws.lambda.runtime.tenantId')]);`);
  assert.strictEqual(line, 'id-1\tINFO\tid-1 tenant-1');
});

test('an error of the runtime: label, tab, JSON', () => {
  const [line] = text(`log.setInvocation('id-1'); const error = new RangeError('m'); error.code = 'E_M'; error.extra = [1];
    log.error('Invoke Error', error);`);
  const [id, level, label, rest] = line.split('\t');
  assert.deepStrictEqual([id, level, label], ['id-1', 'ERROR', 'Invoke Error ']);
  const { stack, ...others } = JSON.parse(rest);
  assert.deepStrictEqual(others, { errorType: 'RangeError', errorMessage: 'm', code: 'E_M', extra: [1] });
  assert.strictEqual(stack[0], 'RangeError: m');
});

test('an error of the runtime in JSON is the message', () => {
  const [{ message }, other] = json(`log.error('Init Error', require(aws + 'errors.js').named('Runtime.X', 'm'));
    log.error('Uncaught Exception', 'only text');`);
  assert.strictEqual(message.errorType, 'Runtime.X');
  assert.strictEqual(message.stackTrace[0], 'Runtime.X: m');
  assert.deepStrictEqual(other.message, { errorType: 'string', errorMessage: 'only text', stackTrace: [] });
});

test('nothing that is thrown keeps the runtime from saying so', () => {
  const count = hostile().length;
  const harness = JSON.stringify(require.resolve('./harness.js'));
  const program = `require(${harness}).hostile().forEach((thrown) => log.error('Invoke Error', thrown));`;
  assert.strictEqual(text(program).length, count);
  assert.strictEqual(json(program).length, count);
});

test('what a library did to console.error does not matter to the runtime', () => {
  assert.deepStrictEqual(text('console.error = console.warn = () => { throw new Error("mine"); }; log.warn("still");'), [
    '-\tWARN\tstill',
  ]);
});

test('a line before install goes out as text', () => {
  const done = node('require(aws + "log.js").warn("early")');
  assert.strictEqual(done.out.replace(STAMP, ''), '-\tWARN\tearly\n');
});

test('the time is the one that Date has', () => {
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

test('frames: type and level, length, microseconds, and newlines as they are', () => {
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

test('frames: JSON has a type of its own', () => {
  const env = { _LAMBDA_TELEMETRY_LOG_FD: '1', AWS_LAMBDA_LOG_FORMAT: 'JSON' };
  const found = frames(node(`${install} console.log({ a: 'b\\nc' }); console.fatal('f');`, env).bytes);
  assert.deepStrictEqual(found.map(({ type }) => type), [0xa55a000e, 0xa55a001a]);
  assert.deepStrictEqual(JSON.parse(found[0].body).message, { a: 'b\nc' });
});

test('frames: a descriptor that is none is not used', () => {
  ['', 'x', '-1', '1.5'].forEach((value) => {
    assert.deepStrictEqual(text('console.log("x")', { _LAMBDA_TELEMETRY_LOG_FD: value }), ['-\tINFO\tx']);
  });
});

test('everything written before a crash is there', () => {
  const lines = text('for (let i = 0; i < 5000; i++) console.log(i + "x".repeat(200)); process.kill(process.pid, "SIGKILL");');
  assert.strictEqual(lines.length, 5000);
});

// Through a pipe that does not block, read slowly: writes are partial, and fail with EAGAIN.
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

test('a reader that went away stops nobody', async () => {
  const program = `const log = require(${JSON.stringify(`${AWS}/log.js`)}); log.install(process.env);
    require('fs').readFileSync(0);
    for (let i = 0; i < 100; i++) console.log('x'.repeat(10000)); log.error('Invoke Error', 1); process.exit(7);`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdout.destroy();
  child.stdin.end();
  assert.strictEqual(await new Promise((resolve) => child.on('exit', resolve)), 7);
});

test('to load it and to log a line loads nothing that another file would not load, but fs', () => {
  const other = `require(${JSON.stringify(`${folder({ 'empty.js': '' })}/empty.js`)}); require('fs');
    const had = new Set(process.moduleLoadList);`;
  const done = node(`${other} ${install} log.setInvocation('a'); console.log('x');
    require('fs').writeSync(2, process.moduleLoadList.filter((name) => !had.has(name)).join());`);
  assert.strictEqual(done.err, '');
});

test('to load it and to put it into place loads no built-in module', () => {
  const done = node(`require(${JSON.stringify(`${folder({ 'empty.js': '' })}/empty.js`)});
    const had = new Set(process.moduleLoadList); ${install} log.setInvocation('a');
    const news = process.moduleLoadList.filter((name) => !had.has(name)); require('fs').writeSync(2, news.join());`);
  assert.strictEqual(done.err, '');
});

