'use strict';
// Imports an ES module. Loaded only for a handler that is one.

const url = require('url');

// The error message of import() on Node.js before 12.17 without a flag.
const NOT_SUPPORTED = 'Not supported';
const CHECK_TIMEOUT_MS = 5000;

function load(file) {
  const searchesNodePath = require('./esm-node-path.js').install();
  return import(url.pathToFileURL(file).href).catch((error) => {
    throw explain(error, file, searchesNodePath);
  });
}

function explain(error, file, searchesNodePath) {
  if (error instanceof SyntaxError) return withLocation(error, file);
  const message = error && error.message;
  if (message === NOT_SUPPORTED) {
    return require('./errors.js').named(
      'Runtime.ImportModuleError',
      `Node.js ${process.version} takes ES modules only with a flag: set the environment variable ` +
        'NODE_OPTIONS=--experimental-modules, write the handler as CommonJS, or use Node.js 12.17 or newer.'
    );
  }
  if (!searchesNodePath && message && error.code === 'ERR_MODULE_NOT_FOUND' && message.includes('Cannot find package')) {
    error.message +=
      `\nIn Node.js ${process.version} import does not search NODE_PATH, where the packages of layers are: ` +
      'copy the package into node_modules beside the handler, or load it by require.';
  }
  return error;
}

// No property of a SyntaxError has its line, but `node --check` prints it, without executing the file.
function withLocation(error, file) {
  const stack = String(error.stack);
  if (!stack.startsWith('SyntaxError')) return error;
  const env = Object.assign({}, process.env, { NODE_OPTIONS: '' });
  const options = { env, encoding: 'utf8', timeout: CHECK_TIMEOUT_MS };
  const check = require('child_process').spawnSync(process.execPath, ['--check', file], options);
  const printed = check.status === 1 && check.stderr.split('\n\n')[0];
  const location = printed && printed.includes(file) ? printed : `in ${file} or a module that it imports`;
  error.stack = `${location}\n\n${stack}`;
  return error;
}

module.exports = { load };
