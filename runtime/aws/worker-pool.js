'use strict';
// Several invocations at once (AWS_LAMBDA_MAX_CONCURRENCY, Lambda Managed Instances): worker threads, each of which
// asks for invocations and works on as many as it is given.

const threads = require('worker_threads');
const log = require('./log.js');

const WORKERS_PER_CPU = 8; // as AWS's runtime
const HEAP_FLAG = /^--(expose-gc|max-old-space-size|max-semi-space-size)/; // which a worker does not take
const PAUSE_MS = 100;

function start() {
  if (!threads.isMainThread) return false;
  require('./invoke-store.js').follow(); // throws where this Node.js cannot
  const count = workerCount(process.env);
  let alive = 0;
  let ready = false;

  function begin() {
    alive += 1;
    const execArgv = process.execArgv.filter((flag) => !HEAP_FLAG.test(flag));
    const worker = new threads.Worker(process.argv[1], { env: process.env, execArgv });
    let failed = false;
    worker.once('message', () => (ready = true));
    worker.on('error', (error) => {
      failed = true;
      log.error('Worker Error', error);
    });
    worker.on('exit', (code) => {
      alive -= 1;
      // One that has worked is replaced; one that never came so far would only fail again.
      if ((code !== 0 || failed) && ready) return void setTimeout(begin, PAUSE_MS);
      if (alive === 0) process.exit(code);
    });
  }

  for (let index = 0; index < count; index += 1) begin();
  return true;
}

function workerCount(env) {
  const asked = parseInt(env.AWS_LAMBDA_NODEJS_WORKER_COUNT, 10);
  return asked > 0 ? asked : WORKERS_PER_CPU * cpus();
}

function cpus() {
  try {
    const [quota, period] = require('fs').readFileSync('/sys/fs/cgroup/cpu.max', 'latin1').split(/\s+/).map(Number);
    if (quota > 0 && period > 0) return Math.ceil(quota / period);
  } catch (error) {
    // no cgroup to ask
  }
  return Math.max(1, require('os').cpus().length);
}

module.exports = { start };
