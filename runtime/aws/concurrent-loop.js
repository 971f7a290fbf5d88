'use strict';
// A worker's life: invocations as they come, any number of them at once. Each has its own async context; there is no
// current one. No invocation can wait for the event loop to be empty, since the others keep it busy.

const { parentPort } = require('worker_threads');
const answers = require('./responses.js');
const Api = require('./runtime-api.js').Api;
const createContext = require('./context.js').create;
const idle = require('./before-exit.js');
const log = require('./log.js');
const metadata = require('./handler-loader.js').metadata;
const outcome = require('./error-report.js');
const store = require('./invoke-store.js');

const EXIT_API = 1;
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;

function run(address, load) {
  const polling = new Api(address); // its connection waits for the next invocation nearly always
  const posting = new Api(address);
  const busy = new Set(); // request ids
  let handler;
  let streaming;
  let invoke;
  let dying = false;
  let lost = () => {}; // tells the caller of an invocation that this worker does not come to

  store.follow();
  idle.share();
  log.setStore(() => {
    const { InvokeStore } = store;
    return { requestId: InvokeStore.getRequestId(), tenantId: InvokeStore.getTenantId() };
  });
  process.on('uncaughtException', (error) => die('Uncaught Exception', error, EXIT_EXCEPTION));
  process.on('unhandledRejection', (reason) => {
    die('Unhandled Promise Rejection', outcome.rejection(reason), EXIT_REJECTION);
  });
  Promise.resolve()
    .then(load)
    .then(ready)
    .catch((error) => die('Init Error', error, EXIT_EXCEPTION, true));

  function ready(loaded) {
    handler = loaded;
    const { streaming: streams, highWaterMark } = metadata(handler);
    streaming = streams ? { highWaterMark } : null;
    invoke = streaming === null ? require('./invoke-buffered.js').invoke : require('./invoke-streaming.js').invoke;
    parentPort.postMessage('ready');
    polling.next(onNext);
  }

  function onNext(error, invocation) {
    if (dying) return void (error === null && lost(invocation.id)); // it was on its way already
    if (error !== null) {
      log.system(`${error.message}; this worker ends`);
      process.exit(EXIT_API);
    }
    polling.next(onNext);
    setImmediate(() => store.InvokeStore.run(store.contextOf(invocation.headers), serve, invocation));
  }

  function serve({ id, headers, body }) {
    if (dying) return lost(id);
    busy.add(id);
    const own = store.InvokeStore.getContext();
    const over = () => busy.delete(id);
    const refused = (why) => store.InvokeStore.run(own, fail, outcome.refusal(why)); // what it logs has the request id
    const fail = (thrown) => {
      log.error('Invoke Error', thrown);
      answers.fail(posting, id, outcome.report(thrown), over);
    };
    const succeed = (value) => {
      let json;
      try {
        json = outcome.stringify(value);
      } catch (error) {
        return fail(error);
      }
      answers.respond(posting, id, json, (refusal) => (refusal === null ? over() : refused(refusal)));
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
    const stream = new Api(`${posting.host}:${posting.port}`); // a stream may take long
    const next = () => {
      stream.connection.close();
      over();
    };
    const failed = (thrown) => {
      stream.connection.close();
      fail(thrown);
    };
    invoke(stream, handler, event, context, streaming.highWaterMark, { next, fail: failed, report: outcome.report });
  }

  // Whatever this worker was busy with is lost with it, and its callers are told.
  function die(label, thrown, code, init) {
    if (dying) return;
    dying = true;
    log.error(label, thrown);
    const report = outcome.report(thrown);
    let left = 0;
    const told = () => {
      left -= 1;
      if (left <= 0) process.exit(code);
    };
    lost = (id) => {
      left += 1;
      answers.fail(posting, id, report, told);
    };
    if (init) answers.failInit(posting, report, told);
    else if (busy.size === 0) told();
    else busy.forEach(lost);
  }
}

module.exports = { run };
