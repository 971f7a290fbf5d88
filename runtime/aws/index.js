'use strict';
// The runtime: the connection to the Runtime API first, so that it is made while the function loads; then the handler;
// then one invocation after the other. Whatever only some functions need is loaded by those: each file costs every
// cold start.

const load = nearby();
const Api = load('./runtime-api.js').Api;
const log = load('./log.js');
const loop = load('./invocation-loop.js');

const env = process.env;

// Our own files, without the search that require() makes for each: it takes most of the time that they take. They see
// an ordinary require(), which finds them the same way.
function nearby() {
  const Module = module.constructor;
  const loaded = Object.create(null);
  function find(name) {
    if (loaded[name] !== undefined) return loaded[name].exports;
    const file = `${__dirname}/${name.slice(2)}`;
    const found = (loaded[name] = new Module(file, module));
    found.filename = file;
    found.paths = module.paths;
    found.require = (other) => (other.startsWith('./') ? find(other) : Module.prototype.require.call(found, other));
    Module._extensions['.js'](found, file);
    found.loaded = true;
    return found.exports;
  }
  return find;
}

function start() {
  if (!env.AWS_LAMBDA_RUNTIME_API) {
    const why = 'nodelayer: AWS_LAMBDA_RUNTIME_API is not set: this program runs inside Lambda or its emulator\n';
    require('fs').writeSync(2, why);
    process.exit(1);
  }
  likeManaged();
  log.install(env);
  if (env.AWS_LAMBDA_MAX_CONCURRENCY === undefined) loop.run(new Api(env.AWS_LAMBDA_RUNTIME_API), loadHandler);
  else several();
}

function several() {
  try {
    if (load('./worker-pool.js').start()) return;
  } catch (error) {
    const refuse = () => {
      throw error;
    };
    return loop.run(new Api(env.AWS_LAMBDA_RUNTIME_API), refuse);
  }
  load('./concurrent-loop.js').run(env.AWS_LAMBDA_RUNTIME_API, loadHandler);
}

function loadHandler() {
  return load('./handler-loader.js').load(env.LAMBDA_TASK_ROOT || process.cwd(), env._HANDLER || '');
}

// What a function finds in AWS's own Node.js runtimes.
function likeManaged() {
  const major = process.version.slice(1).split('.')[0];
  if (env.AWS_EXECUTION_ENV === undefined) env.AWS_EXECUTION_ENV = `AWS_Lambda_nodejs${major}.x`;
  const own = `/opt/nodejs/node${major}/node_modules`;
  if (env.NODE_PATH && env.NODE_PATH.startsWith('/opt/nodejs/node_modules:')) {
    env.NODE_PATH = `${own}:${env.NODE_PATH}`;
    module.constructor._initPaths(); // `module` and `fs` cost Node.js 18 four milliseconds
  }
  lazily('gc', () => {
    require('v8').setFlagsFromString('--expose-gc'); // on the command line it would cost V8's code cache
    return require('vm').runInNewContext('gc');
  });
  const without = env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA;
  if (without !== '1' && without !== 'true') lazily('awslambda', () => load('./awslambda.js'));
}

function lazily(name, make) {
  const define = (value) => {
    Object.defineProperty(global, name, { configurable: true, enumerable: false, writable: true, value });
    return value;
  };
  Object.defineProperty(global, name, { configurable: true, enumerable: false, get: () => define(make()), set: define });
}

start();
