'use strict';
// Module hooks (https://nodejs.org/api/module.html#customization-hooks): import searches NODE_PATH if Node.js's own search
// has failed.

const module_ = require('module');
const path = require('path');
const url = require('url');

const NOT_FOUND = 'ERR_MODULE_NOT_FOUND';
const PATH_OR_URL = /^[./#]|^[a-z][a-z0-9+.-]*:/i;

// The contexts to try in order, for `package` and `package/file`. After the first come those of a file beside each
// node_modules of NODE_PATH, so that `exports` and its conditions apply.
function* contexts(specifier, context) {
  yield context;
  if (PATH_OR_URL.test(specifier)) return;
  for (const entry of (process.env.NODE_PATH || '').split(path.delimiter)) {
    if (path.basename(entry) !== 'node_modules') continue;
    const parentURL = url.pathToFileURL(path.join(path.dirname(path.resolve(entry)), '_.mjs')).href;
    yield Object.assign({}, context, { parentURL });
  }
}

// For entries of NODE_PATH with another name: what require would load.
function requirePath(specifier, failure) {
  if (PATH_OR_URL.test(specifier)) throw failure;
  try {
    return url.pathToFileURL(module_.createRequire(__filename).resolve(specifier)).href;
  } catch (_) {
    throw failure;
  }
}

function resolveSync(specifier, context, next) {
  let failure = null;
  for (const each of contexts(specifier, context)) {
    try {
      return next(specifier, each);
    } catch (error) {
      if (!error || error.code !== NOT_FOUND) throw error;
      failure = failure || error;
    }
  }
  return next(requirePath(specifier, failure), context);
}

async function resolve(specifier, context, next) {
  let failure = null;
  for (const each of contexts(specifier, context)) {
    try {
      return await next(specifier, each);
    } catch (error) {
      if (!error || error.code !== NOT_FOUND) throw error;
      failure = failure || error;
    }
  }
  return next(requirePath(specifier, failure), context);
}

exports.resolve = resolve;
exports.resolveSync = resolveSync;
