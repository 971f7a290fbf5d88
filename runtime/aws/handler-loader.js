'use strict';
// Loads the function's handler from a name like `folder/file.export.nested`. A CommonJS handler is returned at once, an
// ES module as a promise. Files are found with require only: loading fs takes 3 ms on Node.js 18.

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

const Module = module.constructor;
const ABSOLUTE_ONLY = ['']; // search paths for an absolute path

function named(name, message) {
  return require('./errors.js').named(name, message);
}

// Returns the handler or a promise of it. Throws, or rejects with, what the module throws or an error named Runtime.*.
function load(root, handlerName) {
  const { file, exportPath } = parseName(handlerName);
  const pick = (exported) => findExport(exported, exportPath, handlerName);
  let exported;
  try {
    const found = findFile(root.startsWith('/') ? root : `${process.cwd()}/${root}`, file);
    exported = isEsModule(found) ? require('./esm-loader.js').load(found) : requireFile(found);
  } catch (error) {
    throw toRuntimeError(error);
  }
  // AWS's runtime awaits what a CommonJS module exports, so a module may export a promise.
  if (exported === null || typeof exported !== 'object' || typeof exported.then !== 'function') return pick(exported);
  return exported.then(pick, (error) => {
    throw toRuntimeError(error);
  });
}

function parseName(handlerName) {
  const text = handlerName || '';
  const fileStart = text.lastIndexOf('/') + 1;
  const dot = text.indexOf('.', fileStart);
  const exportPath = text.slice(dot + 1).split('.');
  if (text.includes('..')) {
    throw named(
      'Runtime.MalformedHandlerName',
      `'${text}' is not a valid handler name. Name folders by their absolute path, without '..'.`
    );
  }
  if (dot <= fileStart || exportPath.includes('')) {
    throw named('Runtime.MalformedHandlerName', `Bad handler '${text}': it has to be file.export, as index.handler is.`);
  }
  return { file: text.slice(0, dot), exportPath };
}

// In AWS's order: the file itself, .js, .mjs, .cjs, then what Node.js finds: a folder with an index, a package. Before the
// package: TypeScript, if this Node.js runs it.
function findFile(root, file) {
  const path = file.startsWith('/') ? file : `${root.replace(/\/+$/, '')}/${file}`;
  const found = resolve(path);
  if (found && (found.endsWith('.js') || found === path)) return found;
  return resolve(`${path}.mjs`) || resolve(`${path}.cjs`) || found || findTypeScript(path) || findPackage(root, file);
}

function findTypeScript(path) {
  if (!process.features.typescript) return undefined;
  return resolve(`${path}.ts`) || resolve(`${path}.mts`) || resolve(`${path}.cts`);
}

function findPackage(root, file) {
  const slash = file.lastIndexOf('/');
  const paths = [root, `${root}/${file.slice(0, slash + 1)}`];
  return (slash > 0 && resolve(file, { paths })) || require.resolve(file.slice(slash + 1), { paths });
}

// Returns undefined if there is no such file. For a path it calls Node.js's own search: require.resolve creates an error
// for each missing file, which takes 0.5 ms in all.
function resolve(name, options) {
  try {
    return options === undefined ? Module._findPath(name, ABSOLUTE_ONLY) || undefined : require.resolve(name, options);
  } catch (_) {
    return undefined;
  }
}

function isEsModule(file) {
  return file.endsWith('.mjs') || (file.endsWith('.js') && packageType(file) === 'module');
}

// The type of the nearest package.json above, by Node.js's own rule.
function packageType(path) {
  const folder = path.slice(0, path.lastIndexOf('/'));
  if (folder.endsWith('/node_modules')) return undefined;
  const file = `${folder}/package.json`;
  if (!isFile(file)) return folder === '' ? undefined : packageType(folder);
  try {
    return require(file).type;
  } catch (_) {
    return undefined; // Node.js reports what is wrong with it, if it matters
  }
}

function isFile(path) {
  if (typeof Module._stat === 'function') return Module._stat(path) === 0; // one system call instead of four
  return Boolean(resolve(path));
}

function requireFile(file) {
  try {
    return require(file);
  } catch (error) {
    // An ES module that Node.js recognized by its syntax, and that has a top-level await.
    if (codeOf(error) === 'ERR_REQUIRE_ASYNC_MODULE') return require('./esm-loader.js').load(file);
    throw error;
  }
}

function findExport(exported, exportPath, handlerName) {
  let found = followPath(exported, exportPath);
  if (!found && exported && exported.default) found = followPath(exported.default, exportPath);
  if (!found) throw named('Runtime.HandlerNotFound', `${handlerName} is undefined or not exported`);
  if (typeof found !== 'function') throw named('Runtime.HandlerNotFound', `${handlerName} is not a function`);
  return found;
}

function followPath(exported, exportPath) {
  return exportPath.reduce((value, name) => (value === undefined || value === null ? undefined : value[name]), exported);
}

function codeOf(error) {
  return error === undefined || error === null ? undefined : error.code;
}

function toRuntimeError(error) {
  if (error instanceof SyntaxError) return renamed('Runtime.UserCodeSyntaxError', error);
  const code = codeOf(error);
  const missing = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND';
  return missing ? renamed('Runtime.ImportModuleError', error) : error;
}

// AWS's name and message, with the original stack, which says where.
function renamed(name, error) {
  const wrapped = named(name, String(error));
  const stack = String(error.stack);
  wrapped.stack = stack.startsWith(wrapped.message) ? `${name}: ${stack}` : stack;
  return wrapped;
}

// { highWaterMark } of a handler that streams its response, else null.
function streamingOptions(handler) {
  const mode = handler[STREAMING];
  if (mode === undefined || mode === null || mode === false) return null;
  if (mode !== 'response') throw named('Runtime.MalformedStreamingHandler', 'Only response streaming is supported.');
  const highWaterMark = parseInt(handler[HIGH_WATER_MARK], 10);
  return { highWaterMark: Number.isNaN(highWaterMark) ? undefined : highWaterMark };
}

module.exports = { load, streamingOptions };
