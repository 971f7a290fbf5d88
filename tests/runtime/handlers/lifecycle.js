'use strict';
// What happens around invocations: shutdown, time-outs, several at once.

const net = require('net');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function terminateSoon() {
  setTimeout(() => process.kill(process.pid, 'SIGTERM'), 50);
}

exports.unprepared = async () => terminateSoon();

exports.prepared = async () => {
  process.on('SIGTERM', async () => {
    console.log('closing');
    await pause(100);
    console.log('closed');
  });
  terminateSoon();
};

exports.endless = async () => {
  process.on('SIGTERM', () => setInterval(() => {}, 1000));
  terminateSoon();
};

exports.busy = async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  net.connect(server.address().port, '127.0.0.1');
  setTimeout(() => {}, 60000);
  await new Promise(() => {});
};

exports.identities = async (event, context) => {
  const store = awslambda.InvokeStore;
  const before = store.getRequestId();
  await pause(20);
  console.log('seen');
  return { store: [before, store.getRequestId()], context: context.awsRequestId, tenant: store.getTenantId() };
};

exports.spaced = async () => {
  console.log('first');
  await pause(300);
  console.log('second');
};

exports.calledBack = (event, context, callback) => {
  setTimeout(() => callback(null, { event }), 5);
};

exports.crashing = async () => {
  setTimeout(() => {
    throw new RangeError('in a worker');
  }, 5);
  await new Promise(() => {});
};

exports.streamed = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('one ');
  await pause(10);
  stream.end('two');
});

exports.surroundings = async () => ({
  path: process.env.PATH,
  nodePath: process.env.NODE_PATH,
  wrapped: process.env.WRAPPED,
  heap: process.execArgv,
  gc: typeof gc,
});

exports.renamed = awslambda.streamifyResponse(async (event, stream, context) => {
  context.awsRequestId = 'somebody-else';
  stream.end('mine');
});

exports.compiled = async () => {
  const { flushCompileCache, getCompileCacheDir } = require('module');
  if (flushCompileCache) flushCompileCache(); // which Node.js does only when it ends by itself
  return getCompileCacheDir() !== undefined;
};
