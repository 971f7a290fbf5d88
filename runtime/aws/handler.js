'use strict';
// The user's handler, from `file.export`: folders may come before the file, nested exports after it.

const path = require('path');
const named = require('./errors.js').named;

function load(root, handler) {
  const { file, names } = parse(handler);
  const module = importModule(path.resolve(root, file), handler);
  const found = names.reduce((value, name) => (value === undefined || value === null ? value : value[name]), module);
  if (typeof found !== 'function') {
    const why = found === undefined ? 'does not exist' : 'is no function';
    throw named('Runtime.HandlerNotFound', `${handler}: ${names.join('.')} ${why} in ${file}`);
  }
  return found;
}

function parse(handler) {
  const text = handler || '';
  const slash = text.lastIndexOf('/') + 1;
  const dot = text.indexOf('.', slash);
  const names = text.slice(dot + 1).split('.');
  if (dot <= slash || names.includes('') || text.includes('..')) {
    throw named('Runtime.MalformedHandlerName', `the handler has to be file.export, not '${text}'`);
  }
  return { file: text.slice(0, dot), names };
}

function importModule(file, handler) {
  try {
    return require(file);
  } catch (error) {
    if (error instanceof SyntaxError) throw renamed(error, 'Runtime.UserCodeSyntaxError');
    if (error && error.code === 'MODULE_NOT_FOUND') throw renamed(error, 'Runtime.ImportModuleError');
    throw error;
  }
}

function renamed(error, name) {
  error.name = name;
  return error;
}

module.exports = { load };
