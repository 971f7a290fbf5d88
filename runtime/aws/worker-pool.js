'use strict';
// Concurrent invocations (AWS_LAMBDA_MAX_CONCURRENCY, Lambda Managed Instances): starts worker threads, each of which
// runs concurrent-loop.js.

const threads = require('worker_threads');
const log = require('./log.js');

const WORKERS_PER_CPU = 8; // as AWS's runtime
const NOT_FOR_WORKERS = /^--(expose-gc|max-old-space-size|max-semi-space-size|v8-pool-size)/; // flags that a worker refuses
const RESTART_DELAY_MS = 100;

// Returns false in a worker itself. Throws if this Node.js does not support concurrent invocations.
function start() {
  if (!threads.isMainThread) return false;
  require('./invoke-store.js').enableConcurrency();
  const count = workerCount(process.env);
  let alive = 0;
  let ready = false;

  function startWorker() {
    alive += 1;
    const execArgv = process.execArgv.filter((flag) => !NOT_FOR_WORKERS.test(flag));
    const worker = new threads.Worker(process.argv[1], { env: process.env, execArgv });
    let failed = false;
    worker.once('message', () => (ready = true));
    worker.on('error', (error) => {
      failed = true;
      log.error('Worker Error', error);
    });
    worker.on('exit', (exitCode) => {
      alive -= 1;
      // Workers are replaced only if one has become ready: otherwise a new one would fail in the same way.
      if ((exitCode !== 0 || failed) && ready) return void setTimeout(startWorker, RESTART_DELAY_MS);
      if (alive === 0) process.exit(exitCode);
    });
  }

  for (let index = 0; index < count; index += 1) startWorker();
  return true;
}

function workerCount(env) {
  const count = parseInt(env.AWS_LAMBDA_NODEJS_WORKER_COUNT, 10);
  return count > 0 ? count : WORKERS_PER_CPU * cpuCount();
}

function cpuCount() {
  try {
    const [quota, period] = require('fs').readFileSync('/sys/fs/cgroup/cpu.max', 'latin1').split(/\s+/).map(Number);
    if (quota > 0 && period > 0) return Math.ceil(quota / period);
  } catch (_) {
    // no cgroup limits the processor
  }
  return Math.max(1, require('os').cpus().length);
}

module.exports = { start };
