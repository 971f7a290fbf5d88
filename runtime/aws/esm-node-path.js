'use strict';
// import searches only the node_modules folders above the importing file. AWS's Node.js is patched to search NODE_PATH as
// well, where the packages of layers are. Module hooks do so here: on the main thread from Node.js 22.15 on, on a thread of
// its own from 18.19 and 20.6 on, which takes 50 ms. Older versions have no hooks.
// bootstrap preloads this file if NODE_PATH holds packages or NODE_OPTIONS has --import. On Node.js without hooks on the
// main thread it does nothing then for a function that may never import: esm-loader.js calls install() for a handler that
// is an ES module.

const Module = require('module');

const INSTALLED = Symbol.for('nodelayer.importSearchesNodePath');

// Returns whether import searches NODE_PATH.
function install() {
  if (global[INSTALLED]) return true;
  if (!Module.register) return !process.env.NODE_PATH;
  Object.defineProperty(global, INSTALLED, { value: true });
  if (Module.registerHooks) Module.registerHooks({ resolve: require('./esm-node-path-hooks.js').resolveSync });
  else if (holdsPackages()) Module.register(require('url').pathToFileURL(`${__dirname}/esm-node-path-hooks.js`).href);
  return true;
}

// Ignores the folders that are always in NODE_PATH and usually hold no packages.
function holdsPackages() {
  const ignored = ['', '/var/runtime', '/var/task', process.env.LAMBDA_TASK_ROOT];
  return (process.env.NODE_PATH || '').split(':').some((folder) => {
    try {
      return !ignored.includes(folder) && require('fs').readdirSync(folder).length > 0;
    } catch (_) {
      return false;
    }
  });
}

if (Module.registerHooks || /--import\b/.test(process.env.NODE_OPTIONS)) install();

module.exports = { install };
