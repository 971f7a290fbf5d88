'use strict';
// The entry point of the runtime client: connects to the Runtime API, loads the handler while the connection is
// established, then serves invocations. What only some functions need is loaded when it is needed, because each file adds
// to every cold start.

const load = createLoader();
const RuntimeApi = load('./runtime-api.js').RuntimeApi;
const log = load('./log.js');
const invocationLoop = load('./invocation-loop.js');

const env = process.env;
const CODE_CACHE = '/var/task/.nodelayer/code-cache';

// Returns a require() for the client's own files that skips Node.js's search for a file, which takes most of their load
// time. The require() inside those files does the same.
function createLoader() {
  const Module = module.constructor;
  const modules = Object.create(null);
  function loadFile(name) {
    if (modules[name] !== undefined) return modules[name].exports;
    const file = `${__dirname}/${name.slice(2)}`;
    const loaded = (modules[name] = new Module(file, module));
    loaded.filename = file;
    loaded.paths = module.paths;
    loaded.require = (other) => (other.startsWith('./') ? loadFile(other) : Module.prototype.require.call(loaded, other));
    Module._extensions['.js'](loaded, file);
    loaded.loaded = true;
    return loaded.exports;
  }
  return loadFile;
}

function start() {
  const address = env.AWS_LAMBDA_RUNTIME_API;
  if (!address) {
    require('fs').writeSync(2, 'nodelayer: AWS_LAMBDA_RUNTIME_API is not set: this program runs inside Lambda or its emulator\n');
    process.exit(1);
  }
  delete env.NODELAYER_WRAPPED; // set by bootstrap
  defineGlobals();
  log.install(env);
  if (env.AWS_LAMBDA_MAX_CONCURRENCY === undefined) invocationLoop.run(new RuntimeApi(address), loadHandler);
  else startConcurrent(address);
}

function startConcurrent(address) {
  try {
    if (load('./worker-pool.js').start()) return;
  } catch (error) {
    // Reported as an init error.
    return invocationLoop.run(new RuntimeApi(address), () => {
      throw error;
    });
  }
  load('./concurrent-loop.js').run(address, loadHandler);
}

function loadHandler() {
  const root = env.LAMBDA_TASK_ROOT || process.cwd();
  // The code cache has Lambda's absolute paths. If the environment variable is set, Node.js uses that cache.
  if (root === '/var/task' && !env.NODE_COMPILE_CACHE && isFolder(CODE_CACHE)) load('./code-cache.js').enable(CODE_CACHE);
  return load('./handler-loader.js').load(root, env._HANDLER || '');
}

function isFolder(path) {
  const stat = module.constructor._stat || process.binding('fs').internalModuleStat; // loading fs takes 3 ms on Node.js 18
  return stat(path) === 1;
}

// Sets the globals that AWS's managed Node.js runtimes set.
function defineGlobals() {
  defineLazily('gc', () => {
    require('v8').setFlagsFromString('--expose-gc'); // on the command line it would disable V8's code cache
    return require('vm').runInNewContext('gc');
  });
  const disabled = env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA;
  if (disabled !== '1' && disabled !== 'true') defineLazily('awslambda', () => load('./awslambda.js'));
}

function defineLazily(name, create) {
  const define = (value) => {
    Object.defineProperty(global, name, { configurable: true, enumerable: false, writable: true, value });
    return value;
  };
  Object.defineProperty(global, name, { configurable: true, enumerable: false, get: () => define(create()), set: define });
}

start();
