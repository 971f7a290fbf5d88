'use strict';
// The user's handler, from `file.export`: folders may come before the file, nested exports after it. What is CommonJS
// is there at once; what is an ES module is awaited. Nothing but require looks for files here: to load fs costs 3 ms on
// Node.js 18.

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

const Module = module.constructor;
const NOWHERE = ['']; // where to search for what is named by its whole path

function named(name, message) {
  return require('./errors.js').named(name, message);
}

// The handler, or a promise of it. Throws, or rejects with, what the module throws, or an error named Runtime.*.
function load(root, handler) {
  const { file, names } = parse(handler);
  const pick = (exported) => find(exported, names, handler);
  let exported;
  try {
    const found = locate(root.startsWith('/') ? root : `${process.cwd()}/${root}`, file);
    exported = isEsModule(found) ? require('./esm-loader.js').load(found) : requireFile(found);
  } catch (error) {
    throw explain(error);
  }
  if (!isThenable(exported)) return pick(exported);
  return exported.then(pick, (error) => {
    throw explain(error);
  });
}

function parse(handler) {
  const text = handler || '';
  const slash = text.lastIndexOf('/') + 1;
  const dot = text.indexOf('.', slash);
  const names = text.slice(dot + 1).split('.');
  if (text.includes('..')) {
    throw named(
      'Runtime.MalformedHandlerName',
      `'${text}' is not a valid handler name. Name folders by their absolute path, without '..'.`
    );
  }
  if (dot <= slash || names.includes('')) {
    const message = `Bad handler '${text}': it has to be file.export, as index.handler is.`;
    throw named('Runtime.MalformedHandlerName', message);
  }
  return { file: text.slice(0, dot), names };
}

// In AWS's order: the file itself, .js, .mjs, .cjs, then as Node.js resolves it: a folder with an index, a package.
function locate(root, file) {
  const whole = file.startsWith('/') ? file : `${root}/${file}`;
  const found = resolve(whole);
  if (found && (found.endsWith('.js') || found === whole)) return found;
  return resolve(`${whole}.mjs`) || resolve(`${whole}.cjs`) || found || locatePackage(root, file);
}

function locatePackage(root, file) {
  const slash = file.lastIndexOf('/');
  const paths = [root, `${root}/${file.slice(0, slash + 1)}`];
  return (slash > 0 && resolve(file, { paths })) || require.resolve(file.slice(slash + 1), { paths });
}

// What require() would load for this name, undefined where there is nothing. For a path Node.js's own search is asked
// directly: require.resolve makes an error for each file that is not there, half a millisecond in all.
function resolve(name, options) {
  try {
    return options === undefined ? Module._findPath(name, NOWHERE) || undefined : require.resolve(name, options);
  } catch (_) {
    return undefined;
  }
}

function isEsModule(file) {
  return file.endsWith('.mjs') || (file.endsWith('.js') && packageType(file) === 'module');
}

// Of the nearest package.json above: the same rule that Node.js has.
function packageType(below) {
  const folder = below.slice(0, below.lastIndexOf('/'));
  if (folder.endsWith('/node_modules')) return undefined;
  const file = `${folder}/package.json`;
  if (!isFile(file)) return folder === '' ? undefined : packageType(folder);
  try {
    return require(file).type;
  } catch (_) {
    return undefined; // Node.js says what is wrong with it, if it matters
  }
}

function isFile(path) {
  if (typeof Module._stat === 'function') return Module._stat(path) === 0; // one look instead of four
  return Boolean(resolve(path));
}

function requireFile(file) {
  try {
    return require(file);
  } catch (error) {
    // An ES module that Node.js knew by its syntax, and that awaits at its top level.
    if (codeOf(error) === 'ERR_REQUIRE_ASYNC_MODULE') return require('./esm-loader.js').load(file);
    throw error;
  }
}

// AWS awaits what a CommonJS module exports, so a promise of the exports works there.
function isThenable(exported) {
  return exported !== null && typeof exported === 'object' && typeof exported.then === 'function';
}

function find(exported, names, handler) {
  let found = follow(exported, names);
  if (!found && exported && exported.default) found = follow(exported.default, names);
  if (!found) throw named('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  if (typeof found !== 'function') throw named('Runtime.HandlerNotFound', `${handler} is not a function`);
  return found;
}

function follow(exported, names) {
  return names.reduce((value, name) => (value === undefined || value === null ? undefined : value[name]), exported);
}

function codeOf(error) {
  return error === undefined || error === null ? undefined : error.code;
}

function explain(error) {
  if (error instanceof SyntaxError) return renamed('Runtime.UserCodeSyntaxError', error);
  const code = codeOf(error);
  const missing = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND';
  return missing ? renamed('Runtime.ImportModuleError', error) : error;
}

// AWS's name and message, with the stack that says where.
function renamed(name, error) {
  const wrapped = named(name, String(error));
  const stack = String(error.stack);
  wrapped.stack = stack.startsWith(wrapped.message) ? `${name}: ${stack}` : stack;
  return wrapped;
}

function metadata(handler) {
  return { streaming: isStreaming(handler), highWaterMark: highWaterMark(handler) };
}

function isStreaming(handler) {
  const mode = handler[STREAMING];
  if (mode === undefined || mode === null || mode === false) return false;
  if (mode === 'response') return true;
  throw named('Runtime.MalformedStreamingHandler', 'Only response streaming is supported.');
}

function highWaterMark(handler) {
  const mark = parseInt(handler[HIGH_WATER_MARK], 10);
  return Number.isNaN(mark) ? undefined : mark;
}

module.exports = { load, metadata };
