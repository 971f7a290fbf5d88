'use strict';
// Lets Node.js read the code cache in the function's package, which `nodelayer code-cache` has written. Loaded only if there
// is one. https://nodejs.org/api/module.html#module-compile-cache
//
// Node.js reads and writes a folder that it names after its version, its architecture, V8's version tag and the ID of the
// user. The package cannot contain that name, because Lambda chooses the user. So a symbolic link in /tmp has it.

const fs = require('fs');
const { enableCompileCache, getCompileCacheDir } = require('module');

const LINKS = '/tmp/.nodelayer-code-cache';
const HEAP = /^--max-old-space-size=/;
const FIRST_WITHOUT_HEAP_IN_TAG = 24;

// Uses the code cache in `folder` for what is loaded from now on. A cache that does not fit is ignored.
function enable(folder) {
  try {
    const prefix = `${process.version}-${process.arch}-`;
    const name = fs.readdirSync(folder).find((each) => each.startsWith(prefix));
    if (name === undefined) throw new Error(`it is not for Node.js ${process.version} on ${process.arch}`);
    hideHeapFlag();
    if (enableCompileCache) useOfNode(`${folder}/${name}`, `${LINKS}/${name}-${process.getuid()}`);
    else require('./code-cache-scripts.js').read(`${folder}/${name}`);
  } catch (error) {
    console.debug(`nodelayer: the code cache in ${folder} is not used: ${error.message}`);
  }
}

function useOfNode(folder, expected) {
  link(folder, expected);
  const { message } = enableCompileCache(LINKS);
  const used = getCompileCacheDir(); // Node.js 22.8 returns LINKS
  if (used !== expected && used !== LINKS) throw new Error(message || 'it is for other flags of V8');
}

function link(target, path) {
  fs.mkdirSync(LINKS, { recursive: true });
  try {
    fs.symlinkSync(target, path);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error; // by an earlier process in the same environment
  }
}

// Before Node.js 24, V8 rejects code that was compiled with another heap limit. V8 reads the limit at its start, so afterwards
// the flag can have its default. Worker threads then have V8's default limit.
function hideHeapFlag() {
  if (parseInt(process.versions.node, 10) >= FIRST_WITHOUT_HEAP_IN_TAG) return;
  if (process.execArgv.some((each) => HEAP.test(each))) require('v8').setFlagsFromString('--max-old-space-size=0');
}

module.exports = { enable };
