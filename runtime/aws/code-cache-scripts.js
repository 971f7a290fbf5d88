'use strict';
// A code cache of CommonJS modules for Node.js before 22.8, which has none. Each file in its folder has the code of one module,
// under the SHA-1 of the module's path and source: V8 itself compares the length of the source only.

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const Module = module.constructor;
const [HEAD, TAIL] = Module.wrapper;
// Left to Node.js: its loader does not know the import() of a script with saved code, and a script cannot begin with #!.
const NOT_FOR_SCRIPTS = /^#!|\bimport\s*\(/;
const compileOfNode = Module.prototype._compile;

// Modules run as the script that getScript(file, source) returns; without one, Node.js compiles the module.
function install(getScript) {
  Module.prototype._compile = function (source, file) {
    const script = NOT_FOR_SCRIPTS.test(source) ? null : getScript(file, source);
    if (script === null) return compileOfNode.apply(this, arguments);
    return script.runInThisContext().call(this.exports, this.exports, requireOf(this), this, file, path.dirname(file));
  };
}

// As Node.js makes it: https://nodejs.org/api/modules.html#requireid
function requireOf(loaded) {
  const require = (id) => loaded.require(id);
  require.resolve = (id, options) => Module._resolveFilename(id, loaded, false, options);
  require.resolve.paths = (id) => Module._resolveLookupPaths(id, loaded);
  require.main = process.mainModule;
  require.extensions = Module._extensions;
  require.cache = Module._cache;
  return require;
}

function compile(file, source, code) {
  return new vm.Script(HEAD + source + TAIL, { filename: file, columnOffset: -HEAD.length, cachedData: code });
}

// Uses the code in a folder. With --enable-source-maps Node.js has to compile modules itself.
function read(folder) {
  if (process.execArgv.concat(process.env.NODE_OPTIONS || '').some((each) => each.includes('--enable-source-maps'))) return;
  install((file, source) => {
    let code;
    try {
      code = fs.readFileSync(path.join(folder, nameOf(file, source)));
    } catch (_) {
      return null;
    }
    const script = compile(file, source, code);
    return script.cachedDataRejected ? null : script;
  });
}

function nameOf(file, source) {
  return crypto.createHash('sha1').update(file).update(source).digest('hex');
}

module.exports = { NOT_FOR_SCRIPTS, compile, install, nameOf, read };
