'use strict';
// Handlers for shutdown, time-outs and concurrent invocations.

const net = require('net');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function terminateSoon() {
  setTimeout(() => process.kill(process.pid, 'SIGTERM'), 50);
}

exports.withoutListener = async () => terminateSoon();

exports.withListener = async () => {
  process.on('SIGTERM', async () => {
    console.log('closing');
    await pause(100);
    console.log('closed');
  });
  terminateSoon();
};

exports.withSlowListener = async () => {
  process.on('SIGTERM', async () => {
    console.log('closing');
    await pause(1000);
    console.log('closed');
  });
  terminateSoon();
};

exports.sigtermDuringInvocation = async () => {
  process.on('SIGTERM', () => {});
  process.kill(process.pid, 'SIGTERM');
  await pause(500);
  return 'finished';
};

exports.withEndlessListener = async () => {
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

exports.logsTwice = async () => {
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

exports.environment = async () => ({
  path: process.env.PATH,
  nodePath: process.env.NODE_PATH,
  wrapped: process.env.WRAPPED,
  flags: process.execArgv,
  own: Object.keys(process.env).filter((name) => name.startsWith('NODELAYER_')),
  gc: typeof gc,
});

exports.importsFromLayer = async () => {
  const worker = `import('of-a-layer').then((found) => require('worker_threads').parentPort.postMessage(Object.keys(found)))`;
  const { Worker } = require('worker_threads');
  return {
    handler: Object.keys(await import('of-a-layer')),
    worker: await new Promise((resolve, reject) => {
      new Worker(worker, { eval: true }).once('message', resolve).once('error', reject);
    }),
  };
};

exports.changesContext = awslambda.streamifyResponse(async (event, stream, context) => {
  context.awsRequestId = 'somebody-else';
  stream.end('mine');
});

exports.compileCache = async () => {
  const { flushCompileCache, getCompileCacheDir } = require('module');
  if (flushCompileCache) flushCompileCache(); // Node.js does so only if the process ends by itself
  return getCompileCacheDir() !== undefined;
};

exports.sqlite = async () => {
  const { DatabaseSync } = require('node:sqlite');
  const database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE items (name TEXT)');
  database.prepare('INSERT INTO items VALUES (?)').run('stored');
  return database.prepare('SELECT name FROM items').all();
};
