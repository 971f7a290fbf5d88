'use strict';
// Serves concurrent invocations in one worker thread. Each invocation has its own async context, so no variable holds
// "the current one". None waits for an empty event loop, because the others keep it busy.

const { parentPort } = require('worker_threads');
const { EXIT_CODES, exitWithoutApi, logError, onFatalError } = require('./invocation-loop.js');
const { InvokeStore, contextOf, enableConcurrency } = require('./invoke-store.js');
const { RuntimeApi } = require('./runtime-api.js');
const createContext = require('./context.js').create;
const errorReport = require('./error-report.js');
const log = require('./log.js');
const responses = require('./responses.js');
const streamingOptions = require('./handler-loader.js').streamingOptions;

function run(address, loadHandler) {
  const pollApi = new RuntimeApi(address); // its connection nearly always waits for the next invocation
  const responseApi = new RuntimeApi(address);
  const inProgress = new Set(); // request ids
  let handler;
  let streaming;
  let invoke;
  let started = false;
  let rejectInvocation = null; // once the worker exits: reports an invocation that it will not complete

  enableConcurrency();
  log.setInvocationSource(() => ({ requestId: InvokeStore.getRequestId(), tenantId: InvokeStore.getTenantId() }));
  onFatalError(exitWithError);
  Promise.resolve()
    .then(loadHandler)
    .then(start)
    .catch((error) => exitWithError('Init Error', error, EXIT_CODES.uncaughtException));

  function start(loaded) {
    handler = loaded;
    streaming = streamingOptions(handler);
    invoke = streaming === null ? require('./invoke-buffered.js').invoke : require('./invoke-streaming.js').invoke;
    started = true;
    parentPort.postMessage('ready');
    pollApi.next(onNext);
  }

  function onNext(error, invocation) {
    if (rejectInvocation !== null) return void (error === null && rejectInvocation(invocation.id));
    if (error !== null) return exitWithoutApi(error, 'this worker');
    pollApi.next(onNext);
    setImmediate(() => InvokeStore.run(contextOf(invocation.headers), serve, invocation));
  }

  function serve({ id, headers, body }) {
    if (rejectInvocation !== null) return rejectInvocation(id);
    inProgress.add(id);
    const store = InvokeStore.getContext();
    const done = () => inProgress.delete(id);
    const fail = (thrown) => responses.reportError(responseApi, id, logError('Invoke Error', thrown), done);
    const onRefused = (reason) => {
      InvokeStore.run(store, fail, errorReport.responseRefused(reason)); // so that the log line has the request id
    };
    const succeed = (value) => {
      let json;
      try {
        json = responses.stringify(value);
      } catch (error) {
        return fail(error);
      }
      responses.send(responseApi, id, json, (refusal) => (refusal === null ? done() : onRefused(refusal)));
    };
    let event;
    let context;
    try {
      event = JSON.parse(body);
      context = createContext(headers);
    } catch (error) {
      return fail(error);
    }
    if (streaming === null) return invoke(handler, event, context, succeed, fail);
    const streamApi = new RuntimeApi(address); // a stream may occupy its connection for long
    const closeThen = (action) => (thrown) => {
      streamApi.connection.close();
      action(thrown);
    };
    invoke(streamApi, handler, event, context, streaming.highWaterMark, { next: closeThen(done), fail: closeThen(fail) });
  }

  // Reports the error for every invocation in progress, since the worker loses them, and then ends.
  function exitWithError(label, thrown, exitCode) {
    if (rejectInvocation !== null) return;
    const report = logError(label, thrown);
    let pending = 0;
    const onReported = () => {
      pending -= 1;
      if (pending <= 0) process.exit(exitCode);
    };
    rejectInvocation = (id) => {
      pending += 1;
      responses.reportError(responseApi, id, report, onReported);
    };
    if (!started) responses.reportInitError(responseApi, report, onReported);
    else if (inProgress.size === 0) onReported();
    else inProgress.forEach(rejectInvocation);
  }
}

module.exports = { run };
