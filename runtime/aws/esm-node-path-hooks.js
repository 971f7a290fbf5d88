'use strict';
// The hook that lets import find what is on NODE_PATH, once the ordinary search has failed.

const module_ = require('module');
const path = require('path');
const url = require('url');

const NOT_FOUND = 'ERR_MODULE_NOT_FOUND';

// Only `package` and `package/file`, and only what is asked for by import: require has searched NODE_PATH already.
function isOurs(error, specifier) {
  return Boolean(error) && error.code === NOT_FOUND && !/^[./#]|^[a-z][a-z0-9+.-]*:/i.test(specifier);
}

// As if a file beside the node_modules had asked, so that `exports` and its conditions count.
function parents() {
  return (process.env.NODE_PATH || '')
    .split(path.delimiter)
    .filter((entry) => path.basename(entry) === 'node_modules')
    .map((entry) => url.pathToFileURL(path.join(path.dirname(path.resolve(entry)), '_.mjs')).href);
}

// For entries of other names: what require would take.
function required(specifier, failure) {
  try {
    return url.pathToFileURL(module_.createRequire(__filename).resolve(specifier)).href;
  } catch (_) {
    throw failure;
  }
}

function resolveSync(specifier, context, next) {
  try {
    return next(specifier, context);
  } catch (failure) {
    if (!isOurs(failure, specifier)) throw failure;
    for (const parentURL of parents()) {
      try {
        return next(specifier, Object.assign({}, context, { parentURL }));
      } catch (error) {
        if (error.code !== NOT_FOUND) throw error;
      }
    }
    return next(required(specifier, failure), context);
  }
}

async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (failure) {
    if (!isOurs(failure, specifier)) throw failure;
    for (const parentURL of parents()) {
      try {
        return await next(specifier, Object.assign({}, context, { parentURL }));
      } catch (error) {
        if (error.code !== NOT_FOUND) throw error;
      }
    }
    return next(required(specifier, failure), context);
  }
}

exports.resolve = resolve;
exports.resolveSync = resolveSync;
