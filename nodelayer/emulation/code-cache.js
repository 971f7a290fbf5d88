'use strict';
// code-cache.js HANDLER [FILE ...]: fill the folder `cache` beside this file with the code that Node.js compiles to load HANDLER,
// and to answer event.json beside this file, if it exists. It starts /opt/bootstrap with the function in /var/task, and serves the
// Runtime API to it. With FILEs, it compiles those instead, without running them. The last line of stdout is a JSON object: {}, or
// { error } with why the function failed. Runs on the Node.js of the layer.
//
// Node.js saves a module's code as it is before the module runs, without the functions that V8 compiles when they are called. So
// the code cache is switched on at the end, and each module is compiled again: V8 then finds the functions that it has compiled.

const { spawn } = require('child_process');
const fs = require('fs');
const http = require('http');
const Module = require('module');
const path = require('path');
const { fileURLToPath, pathToFileURL } = require('url');
const { cachedDataVersionTag, setFlagsFromString } = require('v8');

const [handler, ...files] = process.argv.slice(2);
const cache = path.join(__dirname, 'cache');
const eventFile = path.join(__dirname, 'event.json');
const TASK = '/var/task/';
const API = '/2018-06-01/runtime';
const HEADERS = {
  'Aws-Request-Id': '00000000-0000-4000-8000-000000000000',
  'Deadline-Ms': String(Date.now() + 60000),
  'Invoked-Function-Arn': 'arn:aws:lambda:us-east-1:123456789012:function:function',
};
const SAVE = 'SIGUSR2'; // makes the function's process save the code and end

// Node.js before 22.8 has no code cache, but a module's script can save its code after it has run.
const scriptCache = Module.enableCompileCache ? null : require('/opt/aws/code-cache-scripts.js');
const scripts = [];

if (process.env.NODELAYER_SAVE_CODE_TO) preload();
else if (files.length > 0) compileFiles();
else runFunction();

// In the function's process, before everything else. V8 rejects code that was compiled with other flags, so they have their
// defaults while code is saved.
function preload() {
  const folder = process.env.NODELAYER_SAVE_CODE_TO;
  for (const name of ['NODELAYER_SAVE_CODE_TO', 'AWS_LAMBDA_EXEC_WRAPPER']) delete process.env[name];
  process.env.NODE_COMPILE_CACHE = folder; // so that the client ignores an older code cache
  if (scriptCache) scriptCache.install(keepScript);
  setFlagsFromString('--no-flush-bytecode'); // V8 forgets functions that were not called for a while, at no fixed time
  process.on(SAVE, () => {
    setFlagsFromString('--flush-bytecode');
    enableCodeCache(folder);
    if (scriptCache) saveScripts(folder);
    else compileAgain();
    process.exit(0);
  });
}

function enableCodeCache(folder) {
  setFlagsFromString('--hash-seed=0');
  if (!scriptCache) Module.enableCompileCache(folder);
}

function keepScript(file, source) {
  if (!file.startsWith(TASK) || scriptCache.NOT_FOR_SCRIPTS.test(source)) return null;
  const script = scriptCache.compile(file, source);
  scripts.push([scriptCache.nameOf(file, source), script]);
  return script;
}

function saveScripts(folder) {
  const tag = cachedDataVersionTag().toString(16).padStart(8, '0');
  const target = path.join(folder, `${process.version}-${process.arch}-${tag}-${process.getuid()}`);
  fs.mkdirSync(target, { recursive: true });
  for (const [name, script] of scripts) {
    fs.writeFileSync(path.join(target, name), scriptCache.sealed(script.createCachedData()));
  }
}

// Compiles the modules of the function without running them again.
function compileAgain() {
  const isEsModule = require('util').types.isModuleNamespaceObject;
  const commonJs = Object.values(require.cache).filter(({ exports }) => !isEsModule(exports));
  const names = new Set(commonJs.map(({ filename }) => filename).filter((name) => !name.endsWith('.mjs')));
  for (const name of names) if (name.startsWith(TASK) && !/\.(json|node)$/.test(name)) compileCommonJs(name);
  const { loadCache } = require('internal/modules/esm/loader').getOrInitializeCascadedLoader();
  for (const href of loadCache.keys()) {
    const file = href.startsWith('file:') ? fileURLToPath(href) : '';
    if (file.startsWith(TASK) && !names.has(file) && /\.m?js$/.test(file)) compileEsModule(href, file);
  }
}

function compileCommonJs(file) {
  const load = Module._extensions[path.extname(file)] || Module._extensions['.js'];
  try {
    load(neverRun(file), file);
  } catch (_) {
    // compiled, or an ES module that replaces what require() returns, which is not saved
  }
}

// Returns a module that throws when it is about to run: after Node.js has compiled it, it reads `exports`.
function neverRun(file) {
  return Object.defineProperty(new Module(file, null), 'exports', {
    get() {
      throw new Error('compiled');
    },
  });
}

function compileEsModule(href, file) {
  const { SourceTextModuleTypes, compileSourceTextModule } = require('internal/modules/esm/utils');
  const type = SourceTextModuleTypes ? SourceTextModuleTypes.kUser : {}; // before Node.js 26, an object
  compileSourceTextModule(href, fs.readFileSync(file, 'utf8'), type);
}

function compileFiles() {
  enableCodeCache(cache);
  for (const file of files) {
    try {
      compileFile(TASK + file);
    } catch (error) {
      return report({ error: `${file}: ${error}` });
    }
  }
  if (scriptCache) saveScripts(cache);
  report({});
}

function compileFile(file) {
  const source = fs.readFileSync(file, 'utf8');
  if (scriptCache) return keepScript(file, source);
  try {
    Module.prototype._compile.call(neverRun(file), source, file, 'commonjs');
  } catch (error) {
    if (error.name === 'SyntaxError') compileEsModule(pathToFileURL(file).href, file);
  }
}

// Starts the function, gives it the event, and lets it save its code.
function runFunction() {
  const events = fs.existsSync(eventFile) ? [fs.readFileSync(eventFile, 'utf8')] : [];
  let failure = null;
  let child;
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url === `${API}/invocation/next`) {
        if (events.length === 0 || failure) return child.kill(SAVE);
        for (const [name, value] of Object.entries(HEADERS)) response.setHeader(`Lambda-Runtime-${name}`, value);
        return response.end(events.shift());
      }
      if (request.url.endsWith('/error')) failure = Buffer.concat(chunks).toString();
      response.writeHead(202);
      response.end();
    });
  });
  server.listen(0, '127.0.0.1', () => {
    const env = Object.assign({}, process.env, {
      AWS_LAMBDA_EXEC_WRAPPER: `${__dirname}/wrapper`,
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${server.address().port}`,
      LAMBDA_TASK_ROOT: '/var/task',
      NODELAYER_SAVE_CODE_TO: cache,
      _HANDLER: handler,
    });
    child = spawn('/opt/bootstrap', { env, cwd: '/var/task', stdio: ['ignore', 2, 2] });
    child.on('exit', (code, signal) => {
      if (!failure && code !== 0) failure = `its process ended with ${signal || `exit status ${code}`}`;
      report(failure ? { error: failure } : {});
      process.exit();
    });
  });
}

function report(outcome) {
  console.log(JSON.stringify(outcome));
}
