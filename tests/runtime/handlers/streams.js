'use strict';
// Handlers that stream their response.
const stream = (handler, options) => awslambda.streamifyResponse(handler, options);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const from = (to, prelude) => awslambda.HttpResponseStream.from(to, prelude);

exports.writes = stream(async (event, to) => {
  to.write('one ');
  await pause(5);
  to.write('two ');
  to.end('three');
});
exports.endOnly = stream(async (event, to) => {
  to.end();
});
exports.endWithText = stream(async (event, to) => {
  to.end('all of it');
});
exports.endWithObject = stream(async (event, to) => {
  to.end({ an: 'object' });
});
exports.object = stream(async (event, to) => {
  to.write({ got: event });
  to.write([1, 2]);
  to.end();
});
exports.numbers = stream(async (event, to) => {
  to.write(1);
  to.write(true);
  to.end();
});
exports.bytes = stream(async (event, to) => {
  to.write(Buffer.from([65, 66]));
  to.write(new Uint8Array([67]));
  to.end();
});
exports.encoded = stream(async (event, to) => {
  to.write('4142', 'hex');
  to.write('\u00fc\u{1f600}', 'utf8');
  to.end();
});
exports.emptyText = stream(async (event, to) => {
  to.write('a');
  to.write('');
  to.write('b');
  to.end();
});
exports.writesNull = stream(async (event, to) => {
  to.write(null);
  to.end();
});
exports.writesUndefined = stream(async (event, to) => {
  to.write(undefined);
  to.end();
});
exports.contentType = stream(async (event, to) => {
  to.setContentType('text/html; charset=utf-8');
  to.end('<p>');
});
exports.lateContentType = stream(async (event, to) => {
  to.write('a');
  to.setContentType('text/html');
  to.end();
});
exports.http = stream(async (event, to) => {
  const http = from(to, { statusCode: 201, headers: { 'x-own': 'yes' }, cookies: ['a=b'] });
  http.write('body');
  http.end();
});
exports.httpEndText = stream(async (event, to) => {
  from(to, { statusCode: 200 }).end('body');
});
exports.httpEndOnly = stream(async (event, to) => {
  from(to, { statusCode: 204 }).end();
});
exports.httpUndefined = stream(async (event, to) => {
  const http = from(to, undefined);
  http.write('body');
  http.end();
});
exports.pipeline = stream(async (event, to) => {
  const { pipeline, Readable } = require('stream');
  await require('util').promisify(pipeline)(Readable.from([Buffer.from('a'), Buffer.from('b')]), to);
});
exports.transformed = stream(async (event, to) => {
  const zip = require('zlib').createGzip();
  zip.pipe(to);
  zip.end('compressed');
  await new Promise((resolve) => zip.on('end', resolve));
});
exports.callbacks = stream(async (event, to) => {
  await new Promise((resolve) => to.write('a', resolve));
  await new Promise((resolve) => to.write('b', 'utf8', resolve));
  await new Promise((resolve) => to.end('c', resolve));
});
exports.drain = stream(async (event, to) => {
  let drained = 0;
  for (let index = 0; index < 20; index += 1) {
    if (!to.write('x'.repeat(50000))) {
      await new Promise((resolve) => to.once('drain', resolve));
      drained += 1;
    }
  }
  console.log('drained', drained > 0);
  to.end();
});
exports.huge = stream(async (event, to) => {
  to.end('y'.repeat(3000000));
});
exports.returns = stream(async (event, to) => {
  to.end('a');
  return 'ignored';
});
exports.neverEnded = stream(async (event, to) => {
  to.write('begun');
});
exports.neverWritten = stream(async () => {});
exports.throwsFirst = stream(async () => {
  throw new RangeError('before anything');
});
exports.throwsMidway = stream(async (event, to) => {
  to.write('begun');
  await pause(5);
  throw new RangeError('midway');
});
exports.throwsAfterEnd = stream(async (event, to) => {
  to.end('all');
  throw new RangeError('after the end');
});
exports.unicodeMidway = stream(async (event, to) => {
  to.write('begun');
  throw Object.assign(new Error('\u00fc \u{1f600}'), { name: 'F\u00e4hler' });
});
exports.sync = stream((event, to) => {
  to.write('sync ');
  to.end('done');
});
exports.syncThrows = stream(() => {
  throw new TypeError('sync');
});
exports.syncLater = stream((event, to) => {
  setTimeout(() => to.end('later'), 20);
});
exports.promiseStyle = stream((event, to) => {
  to.write('a');
  return pause(5).then(() => to.end('b'));
});
exports.uncaught = stream(async (event, to) => {
  to.write('begun');
  setTimeout(() => {
    throw new Error('uncaught midway');
  }, 10);
  await pause(300);
  to.end();
});
exports.unhandled = stream(async (event, to) => {
  to.write('begun');
  setTimeout(() => Promise.reject(new Error('unhandled midway')), 10);
  await pause(300);
  to.end();
});
exports.destroyed = stream(async (event, to) => {
  to.write('begun');
  await pause(5);
  to.destroy(new Error('destroyed'));
  await pause(20);
});
exports.exits = stream(async (event, to) => {
  to.write('begun');
  await pause(200);
  process.exit(3);
});
exports.context = stream(async (event, to, context) => {
  to.end(Object.keys(context).sort().join(' '));
});
exports.shape = stream(async (event, to) => {
  const methods = ['cork', 'destroy', 'end', 'uncork', 'write', 'addListener', 'emit', 'eventNames', 'off', 'on', 'once'];
  const before = { writable: to.writable, finished: to.writableFinished, ended: to.writableEnded };
  to.end({ lacking: methods.filter((name) => typeof to[name] !== 'function'), before, mark: typeof to.writableHighWaterMark });
});
exports.highWaterMark = stream(async (event, to) => {
  to.end('small');
}, { highWaterMark: 1024 });
exports.corked = stream(async (event, to) => {
  to.cork();
  to.write('a');
  to.write('b');
  process.nextTick(() => to.uncork());
  await pause(5);
  to.end('c');
});
exports.pending = stream((event, to) => {
  to.write('begun');
  return new Promise(() => {});
});
exports.counted = (() => {
  let count = 0;
  return stream(async (event, to) => {
    count += 1;
    to.write(`number ${count}`);
    if (event.fail) throw new Error('as asked');
    to.end();
  });
})();
exports.marked = async (event, to) => {
  to.end('by symbol');
};
exports.marked[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'response';
exports.unmarked = async (event, to) => ({ second: typeof to.getRemainingTimeInMillis });
exports.utf8Split = stream(async (event, to) => {
  const bytes = Buffer.from('\u{1f600}');
  to.write(bytes.slice(0, 2));
  to.write(bytes.slice(2));
  to.end();
});
exports.pipelineFails = stream(async (event, to) => {
  const { pipeline, Readable } = require('stream');
  to.write('begun');
  await pause(5);
  const source = new Readable({ read() { this.destroy(new RangeError('the source failed')); } });
  await require('util').promisify(pipeline)(source, to);
});
