'use strict';
// An ES module as the handler. In a file of its own, loaded only for such a handler.

const url = require('url');

// What Node.js before 12.17 says to import() without a flag.
const REFUSAL = 'Not supported';
const CHECK_MS = 5000;

function load(file) {
  const searched = searchNodePath();
  return import(url.pathToFileURL(file).href).catch((error) => {
    throw explain(error, file, searched);
  });
}

// import looks into node_modules above the importing file only. AWS's Node.js looks into NODE_PATH as well, where the
// packages of layers are; here a hook does, if there is something to find: from 22.15 on this thread, from 18.19 and
// 20.6 on a thread of its own, which takes 50 ms. Older ones have no hook: such an import fails there, require works.
function searchNodePath() {
  const module = require('module');
  if (!module.register) return !process.env.NODE_PATH;
  if (holdsPackages(process.env.NODE_PATH || '')) {
    if (module.registerHooks) module.registerHooks({ resolve: require('./esm-node-path-hooks.js').resolveSync });
    else module.register(url.pathToFileURL(require.resolve('./esm-node-path-hooks.js')).href);
  }
  return true;
}

// Beside what the bootstrap names for every function, and what holds no packages as a rule.
function holdsPackages(nodePath) {
  const usual = ['', '/var/runtime', '/var/task', process.env.LAMBDA_TASK_ROOT];
  return nodePath.split(':').some((folder) => !usual.includes(folder) && isFilled(folder));
}

function isFilled(folder) {
  try {
    return require('fs').readdirSync(folder).length > 0;
  } catch (_) {
    return false;
  }
}

function explain(error, file, searched) {
  if (error instanceof SyntaxError) return located(error, file);
  const message = error && error.message;
  if (message === REFUSAL) {
    return require('./errors.js').named(
      'Runtime.ImportModuleError',
      `Node.js ${process.version} takes ES modules only with a flag: set the environment variable ` +
        'NODE_OPTIONS=--experimental-modules, write the handler as CommonJS, or use Node.js 12.17 or newer.'
    );
  }
  if (!searched && message && error.code === 'ERR_MODULE_NOT_FOUND' && message.includes('Cannot find package')) {
    error.message +=
      `\nIn Node.js ${process.version} import does not search NODE_PATH, where the packages of layers are: ` +
      'copy the package into node_modules beside the handler, or load it by require.';
  }
  return error;
}

// Node.js knows the line, but puts it into no property; asked to check the file, it prints it. Nothing is executed.
function located(error, file) {
  const stack = String(error.stack);
  if (!stack.startsWith('SyntaxError')) return error;
  const env = Object.assign({}, process.env, { NODE_OPTIONS: '' });
  const options = { env, encoding: 'utf8', timeout: CHECK_MS };
  const checked = require('child_process').spawnSync(process.execPath, ['--check', file], options);
  const found = checked.status === 1 && checked.stderr.split('\n\n')[0];
  const where = found && found.includes(file) ? found : `in ${file} or a module that it imports`;
  error.stack = `${where}\n\n${stack}`;
  return error;
}

module.exports = { load };
