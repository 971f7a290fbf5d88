'use strict';
// What a handler finds around it.
const kinds = (object) => Object.keys(object).sort().map((key) => `${key}: ${typeof object[key]}`);
const first = { env: process.env.AWS_EXECUTION_ENV, trace: process.env._X_AMZN_TRACE_ID };
exports.contextKeys = async (event, context) => Object.keys(context).sort();
exports.contextKinds = async (event, context) => kinds(context);
exports.contextValues = async (event, context) => JSON.parse(JSON.stringify(context));
exports.contextLeft = async (event, context) => {
  const left = context.getRemainingTimeInMillis();
  return { kind: typeof left, whole: Number.isInteger(left), right: left > 20000 && left <= 30000 };
};
exports.contextLeftDetached = async (event, { getRemainingTimeInMillis }) => getRemainingTimeInMillis() > 0;
exports.contextClient = async (event, context) => ({ client: context.clientContext, identity: context.identity });
exports.contextTenant = async (event, context) => ({ tenant: context.tenantId, has: 'tenantId' in context });
exports.contextTrace = async (event, context) => ({ trace: context.xRayTraceId });
exports.contextSpread = async (event, context) => Object.keys({ ...context }).sort();
exports.contextWritable = async (event, context) => {
  context.own = 1;
  context.awsRequestId = 'changed';
  context.functionName = 'changed';
  return { own: context.own, id: context.awsRequestId, name: context.functionName };
};
exports.contextFlag = (event, context, callback) => {
  const before = context.callbackWaitsForEmptyEventLoop;
  context.callbackWaitsForEmptyEventLoop = false;
  callback(null, { before, after: context.callbackWaitsForEmptyEventLoop });
};
exports.contextIsNew = (() => {
  const seen = [];
  return async (event, context) => {
    seen.push(context);
    return { different: new Set(seen).size === seen.length, ids: seen.map((each) => each.awsRequestId) };
  };
})();
exports.contextKeptFromBefore = (() => {
  let kept;
  return async (event, context) => {
    const before = kept && kept.awsRequestId;
    kept = context;
    return { before, left: typeof context.getRemainingTimeInMillis() };
  };
})();
exports.trace = async () => ({ now: process.env._X_AMZN_TRACE_ID, has: '_X_AMZN_TRACE_ID' in process.env });
exports.atInit = async () => first;
exports.executionEnvironment = async () => ({ major: process.env.AWS_EXECUTION_ENV === `AWS_Lambda_nodejs${process.version.slice(1).split('.')[0]}.x` });
exports.variables = async () =>
  Object.keys(process.env).filter((name) => /^(AWS_|LAMBDA_|_HANDLER|_X_AMZN|_LAMBDA)/.test(name)).sort();
exports.handlerName = async () => ({ handler: process.env._HANDLER, root: process.env.LAMBDA_TASK_ROOT });
exports.where = async () => ({ cwd: process.cwd(), file: __filename, dir: __dirname });
exports.main = async () => ({ main: require.main !== module, parent: module.children.length });
exports.awslambda = async () => Object.keys(awslambda).sort();
exports.awslambdaKind = async () => (typeof awslambda);
exports.awslambdaFunctions = async () => ({ streamify: typeof awslambda.streamifyResponse, http: typeof awslambda.HttpResponseStream.from });
exports.globals = async () => ({
  gc: typeof gc,
  requestId: global[Symbol.for('aws.lambda.runtime.requestId')],
  beforeExit: typeof global[Symbol.for('aws.lambda.beforeExit')],
});
exports.stdin = async () => {
  let read = '';
  for await (const chunk of process.stdin) read += chunk;
  return { read };
};
exports.argv = async () => ({ count: process.argv.length >= 2, execArgv: process.execArgv.length });
exports.child = async () =>
  new Promise((resolve) => {
    const child = require('child_process').fork(`${__dirname}/lib/child.js`, [], { silent: true });
    child.on('message', (told) => resolve(told));
  });
exports.worker = async () =>
  new Promise((resolve, reject) => {
    const { Worker } = require('worker_threads');
    const worker = new Worker('require("worker_threads").parentPort.postMessage("from a worker")', { eval: true });
    worker.on('message', resolve);
    worker.on('error', reject);
  });
exports.http = async () =>
  new Promise((resolve, reject) => {
    const http = require('http');
    const server = http.createServer((request, response) => response.end('from a server')).listen(0, '127.0.0.1', () => {
      http.get({ port: server.address().port, host: '127.0.0.1' }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => server.close(() => resolve(body)));
      }).on('error', reject);
    });
  });
exports.asyncContext = (() => {
  const { AsyncLocalStorage } = require('async_hooks');
  if (!AsyncLocalStorage) return async () => ({ before: 'nothing' });
  const storage = new AsyncLocalStorage();
  return async (event) => {
    const before = storage.getStore() === undefined ? 'nothing' : 'something';
    storage.enterWith(event);
    await new Promise((resolve) => setTimeout(resolve, 1));
    return { before };
  };
})();
exports.changedGlobals = async () => {
  const { setTimeout: real } = global;
  global.setTimeout = () => {
    throw new Error('the runtime used a global that was replaced');
  };
  setImmediate(() => {
    global.setTimeout = real;
  });
  return 'fine';
};
exports.changedJson = (() => {
  let count = 0;
  return async () => {
    count += 1;
    return { count, then: undefined };
  };
})();
exports.frozenIntrinsics = async () => {
  Array.prototype.own = 'polluted';
  Object.prototype.own = 'polluted';
  return { fine: true };
};
