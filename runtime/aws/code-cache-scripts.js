'use strict';
// A code cache of CommonJS modules for Node.js before 22.8, which has none. Each file in its folder has the code of one module,
// under a hash of the module's path and source: V8 itself compares the length of the source only.

const fs = require('fs');
const path = require('path');
const vm = require('vm');

const Module = module.constructor;
const [HEAD, TAIL] = Module.wrapper;
// Left to Node.js: its loader does not know the import() of a script with saved code, and a script cannot begin with #!.
const NOT_FOR_SCRIPTS = /^#!|\bimport\s*\(/;
const DIGEST_LENGTH = 24;
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
      code = opened(fs.readFileSync(path.join(folder, nameOf(file, source))));
    } catch (_) {
      return null;
    }
    if (code === null) return null;
    const script = compile(file, source, code);
    return script.cachedDataRejected ? null : script;
  });
}

function nameOf(file, source) {
  const text = `${file}\n${source}`;
  const size = Buffer.byteLength(text);
  const bytes = Buffer.alloc((size + 3) & ~3); // never from Buffer's pool, which begins at any byte
  bytes.write(text);
  return digest(bytes, size);
}

// A saved code begins with its digest: V8 of Node.js 20 does not check it, and a changed byte ends the process.
function sealed(code) {
  return Buffer.concat([Buffer.from(digest(code, code.length)), code]);
}

function opened(bytes) {
  const code = bytes.subarray(DIGEST_LENGTH);
  return bytes.toString('latin1', 0, DIGEST_LENGTH) === digest(code, code.length) ? code : null;
}

// Two FNV-1a hashes over words, which find changes but no forgeries. Loading `crypto` takes longer than most functions save.
function digest(bytes, size) {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  let first = 0x811c9dc5;
  let second = size;
  const add = (word) => {
    first = Math.imul(first ^ word, 0x01000193);
    second = Math.imul(second ^ word ^ (first >>> 15), 0x01000193);
  };
  for (let at = 0; at < words.length; at += 1) add(words[at]);
  for (let at = words.length << 2; at < bytes.length; at += 1) add(bytes[at]);
  return [first, second, size].map((each) => (each >>> 0).toString(16).padStart(8, '0')).join('');
}

module.exports = { NOT_FOR_SCRIPTS, compile, install, nameOf, read, sealed };
