'use strict';
// What a handler can see: context, environment, globals.
const kinds = (object) => Object.keys(object).sort().map((key) => `${key}: ${typeof object[key]}`);
const first = { env: process.env.AWS_EXECUTION_ENV, trace: process.env._X_AMZN_TRACE_ID };
exports.contextKeys = async (event, context) => Object.keys(context).sort();
exports.contextValues = async (event, context) => JSON.parse(JSON.stringify(context));
exports.contextLeft = async (event, context) => {
  const left = context.getRemainingTimeInMillis();
  return { kind: typeof left, whole: Number.isInteger(left), right: left > 20000 && left <= 30000 };
};
exports.contextClient = async (event, context) => ({ client: context.clientContext, identity: context.identity });
exports.contextTenant = async (event, context) => ({ tenant: context.tenantId, has: 'tenantId' in context });
exports.contextTrace = async (event, context) => ({ trace: context.xRayTraceId });
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
exports.trace = async () => ({ now: process.env._X_AMZN_TRACE_ID, has: '_X_AMZN_TRACE_ID' in process.env });
exports.atInit = async () => first;
exports.executionEnvironment = async () => ({ major: process.env.AWS_EXECUTION_ENV === `AWS_Lambda_nodejs${process.version.slice(1).split('.')[0]}.x` });
exports.variables = async () =>
  Object.keys(process.env).filter((name) => /^(AWS_|LAMBDA_|_HANDLER|_X_AMZN|_LAMBDA)/.test(name)).sort();
exports.handlerName = async () => ({ handler: process.env._HANDLER, root: process.env.LAMBDA_TASK_ROOT });
exports.where = async () => ({ cwd: process.cwd(), file: __filename, dir: __dirname });
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
exports.argv = async () => ({ count: process.argv.length >= 2 });
exports.child = async () =>
  new Promise((resolve) => {
    const child = require('child_process').fork(`${__dirname}/lib/child.js`, [], { silent: true });
    child.on('message', (told) => resolve(told));
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
exports.frozenIntrinsics = async () => {
  Array.prototype.own = 'polluted';
  Object.prototype.own = 'polluted';
  return { fine: true };
};
