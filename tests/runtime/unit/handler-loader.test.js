'use strict';

const path = require('path');
const { assert, test, node, folder, AWS, MAJOR } = require('./harness.js');
const { load, streamingOptions } = require(`${AWS}/handler-loader.js`);

const [, MINOR] = process.versions.node.split('.').map(Number);
const ESM = MAJOR > 12 || MINOR >= 17;
const TOP_LEVEL_AWAIT = MAJOR > 14 || (MAJOR === 14 && MINOR >= 8);
const HOOKS = MAJOR > 20 || (MAJOR === 20 && MINOR >= 6) || (MAJOR === 18 && MINOR >= 19);

// The error of a load, be it thrown or a rejection.
async function failure(root, handler) {
  try {
    await load(root, handler);
  } catch (error) {
    return error;
  }
  throw new Error(`${handler} was loaded`);
}

test('a CommonJS handler is there at once', () => {
  const root = folder({ 'app.js': 'exports.handler = () => 1;', 'other.cjs': 'exports.handler = () => 2;' });
  assert.strictEqual(load(root, 'app.handler')(), 1);
  assert.strictEqual(load(root, 'other.handler')(), 2);
});

test('folders before the file, absolute paths, exports within exports', () => {
  const root = folder({
    'src/deep/app.js': 'exports.a = { b: { handler: () => "found" } }; exports.handler = () => "here";',
  });
  assert.strictEqual(load(root, 'src/deep/app.a.b.handler')(), 'found');
  assert.strictEqual(load(root, './src/deep/app.handler')(), 'here');
  assert.strictEqual(load('/nowhere', `${root}/src/deep/app.handler`)(), 'here');
  assert.strictEqual(load(path.relative(process.cwd(), root), 'src/deep/app.handler')(), 'here');
});

test('looks for the file without extension first, then .js, .mjs and .cjs, then as Node.js does', () => {
  const root = folder({
    'one': 'exports.handler = () => "none";', 'one.js': 'exports.handler = () => "js";',
    'two.js': 'exports.handler = () => "js";', 'two.cjs': 'exports.handler = () => "cjs";',
    'three.cjs': 'exports.handler = () => "cjs";', 'three.json': '{}', 'three/index.js': 'exports.handler = 1;',
    'four/index.js': 'exports.handler = () => "index";',
    'five/package.json': '{"main":"lib/main.js"}', 'five/lib/main.js': 'exports.handler = () => "main";',
    'six.js': 'exports.handler = () => "js";', 'six/index.js': 'exports.handler = () => "index";',
  });
  const found = ['one', 'two', 'three', 'four', 'five', 'six'].map((name) => load(root, `${name}.handler`)());
  assert.deepStrictEqual(found, ['none', 'js', 'cjs', 'index', 'main', 'js']);
});

test('a package may hold the handler', () => {
  const root = folder({
    'node_modules/plain/index.js': 'exports.handler = () => "plain";',
    'node_modules/@scope/pkg/index.js': 'exports.handler = () => "scoped";',
    'sub/node_modules/inner/index.js': 'exports.handler = () => "inner";',
  });
  assert.strictEqual(load(root, 'plain.handler')(), 'plain');
  assert.strictEqual(load(root, '@scope/pkg.handler')(), 'scoped');
  assert.strictEqual(load(root, 'sub/inner.handler')(), 'inner');
});

test('a package on NODE_PATH may hold it as well', () => {
  const root = folder({ 'task/x.js': '', 'opt/node_modules/layered/index.js': 'exports.handler = () => "layered";' });
  const done = node(
    `console.log(require(aws + 'handler-loader.js').load(${JSON.stringify(`${root}/task`)}, 'layered.handler')())`,
    { NODE_PATH: `${root}/opt/node_modules` }
  );
  assert.strictEqual(done.out, 'layered\n', done.err);
});

test('an export on default is found, one beside it wins', () => {
  const root = folder({
    'app.js': 'exports.default = { handler: () => "default", other: 1 }; exports.other = () => "beside";',
  });
  assert.strictEqual(load(root, 'app.handler')(), 'default');
  assert.strictEqual(load(root, 'app.other')(), 'beside');
});

test('a promise of the exports is awaited', async () => {
  const root = folder({ 'app.js': 'module.exports = Promise.resolve({ handler: () => 1 });' });
  assert.strictEqual((await load(root, 'app.handler'))(), 1);
});

test('a handler name has to be file.export', async () => {
  for (const name of ['', undefined, 'app', 'app.', '.handler', 'src/', 'src/.x', 'app..handler', 'app.a..b', '../app.x']) {
    const error = await failure('/nowhere', name);
    assert.strictEqual(error.name, 'Runtime.MalformedHandlerName', name);
  }
});

test('a handler that is not there, or is no function', async () => {
  const root = folder({ 'app.js': 'exports.one = 1; exports.a = null;', 'nothing.js': 'module.exports = null;' });
  const told = async (name) => {
    const error = await failure(root, name);
    assert.strictEqual(error.name, 'Runtime.HandlerNotFound');
    return error.message;
  };
  assert.strictEqual(await told('app.handler'), 'app.handler is undefined or not exported');
  assert.strictEqual(await told('app.a.b.c'), 'app.a.b.c is undefined or not exported');
  assert.strictEqual(await told('nothing.handler'), 'nothing.handler is undefined or not exported');
  assert.strictEqual(await told('app.one'), 'app.one is not a function');
});

test('a module that is missing, itself or for another', async () => {
  const root = folder({ 'app.js': 'require("not-there");' });
  const itself = await failure(root, 'lacking.handler');
  assert.strictEqual(itself.name, 'Runtime.ImportModuleError');
  assert.ok(itself.message.startsWith("Error: Cannot find module 'lacking'"), itself.message);
  const other = await failure(root, 'app.handler');
  assert.strictEqual(other.name, 'Runtime.ImportModuleError');
  assert.ok(other.message.startsWith("Error: Cannot find module 'not-there'"), other.message);
  assert.ok(other.stack.startsWith('Runtime.ImportModuleError: Error: Cannot find module'), other.stack);
  assert.ok(other.stack.includes(`${root}/app.js:1`), other.stack);
});

test('a syntax error says where', async () => {
  const root = folder({ 'app.js': '\nexports.handler = ( => {};' });
  const error = await failure(root, 'app.handler');
  assert.strictEqual(error.name, 'Runtime.UserCodeSyntaxError');
  assert.ok(error.message.startsWith('SyntaxError: '), error.message);
  assert.ok(error.stack.startsWith(`${root}/app.js:2\nexports.handler`), error.stack);
});

test('what a module throws comes out as it is', async () => {
  const root = folder({ 'error.js': 'throw new RangeError("mine");', 'nothing.js': 'throw null;', 'text.js': 'throw "t";' });
  assert.ok((await failure(root, 'error.handler')) instanceof RangeError);
  assert.strictEqual(await failure(root, 'nothing.handler'), null);
  assert.strictEqual(await failure(root, 'text.handler'), 't');
});

test('a broken package.json is no obstacle to .cjs', () => {
  const root = folder({ 'package.json': '{', 'app.cjs': 'exports.handler = () => 1;' });
  assert.strictEqual(load(root, 'app.handler')(), 1);
});

test('loads no built-in module for a CommonJS handler', () => {
  const root = folder({ 'app.js': 'exports.handler = () => 1;', 'package.json': '{}', 'empty.js': '' });
  const done = node(`require(${JSON.stringify(`${root}/empty.js`)}); const had = new Set(process.moduleLoadList);
    require(aws + 'handler-loader.js').load(${JSON.stringify(root)}, 'app.handler')();
    const news = process.moduleLoadList.filter((name) => !had.has(name)); console.log(news.join());`);
  assert.strictEqual(done.out, '\n', done.err);
});

if (!ESM) {
  test('says what an ES module needs here', async () => {
    const root = folder({ 'app.mjs': 'export const handler = () => 1;' });
    const error = await failure(root, 'app.handler');
    assert.strictEqual(error.name, 'Runtime.ImportModuleError');
    assert.ok(error.message.includes('NODE_OPTIONS=--experimental-modules'), error.message);
    const program = `require(aws + 'handler-loader.js').load(${JSON.stringify(root)}, 'app.handler').then((f) => console.log(f()));`;
    assert.strictEqual(node(program, { NODE_OPTIONS: '--experimental-modules' }).out, '1\n');
  });
} else {
  test('an ES module is imported: by extension, or by the type of the nearest package.json', async () => {
    const root = folder({
      'app.mjs': 'export const handler = () => 1;',
      'odd #?%.mjs': 'export const handler = () => 2;',
      'typed/package.json': '{"type":"module"}',
      'typed/deep/app.js': 'export const handler = () => 3; export default { other: () => 4 };',
      'typed/cjs/package.json': '{}',
      'typed/cjs/app.js': 'exports.handler = () => 5;',
      'typed/app.cjs': 'exports.handler = () => 6;',
      'node_modules/esm/package.json': '{"type":"module","main":"m.js"}',
      'node_modules/esm/m.js': 'export const handler = () => 7;',
    });
    const found = [];
    for (const name of ['app.handler', 'odd #?%.handler', 'typed/deep/app.handler', 'typed/deep/app.other',
      'typed/cjs/app.handler', 'typed/app.handler', 'esm.handler']) {
      found.push((await load(root, name))());
    }
    assert.deepStrictEqual(found, [1, 2, 3, 4, 5, 6, 7]);
    assert.strictEqual(load(root, 'typed/cjs/app.handler')(), 5);
  });

  test('a .js file wins over .mjs, .mjs over .cjs', async () => {
    const root = folder({
      'one.js': 'exports.handler = () => "js";', 'one.mjs': 'export const handler = () => "mjs";',
      'two.mjs': 'export const handler = () => "mjs";', 'two.cjs': 'exports.handler = () => "cjs";',
    });
    assert.deepStrictEqual([(await load(root, 'one.handler'))(), (await load(root, 'two.handler'))()], ['js', 'mjs']);
  });

  test('what an ES module lacks is an ImportModuleError', async () => {
    const root = folder({ 'app.mjs': 'import "not-there";', 'other.mjs': 'import "./not-there.mjs";' });
    for (const name of ['app', 'other']) {
      const error = await failure(root, `${name}.handler`);
      assert.strictEqual(error.name, 'Runtime.ImportModuleError');
      assert.ok(error.message.includes('not-there'), error.message);
    }
  });

  test('a syntax error of an ES module says where', async () => {
    const root = folder({
      'app.mjs': '\nexport const handler = ;', 'outer.mjs': 'import "./inner.mjs";', 'inner.mjs': 'export const;',
    });
    const error = await failure(root, 'app.handler');
    assert.strictEqual(error.name, 'Runtime.UserCodeSyntaxError');
    assert.ok(error.stack.startsWith(`${root}/app.mjs:2\nexport const`), error.stack);
    const outer = await failure(root, 'outer.handler');
    assert.ok(outer.stack.includes(`${root}/outer.mjs or a module that it imports`), outer.stack);
  });

  test('an export that is missing is named', async () => {
    const root = folder({ 'app.mjs': 'export const a = 1;' });
    assert.strictEqual((await failure(root, 'app.handler')).name, 'Runtime.HandlerNotFound');
  });

  test('packages on NODE_PATH are found by import where a hook can do that, else it is said', () => {
    const packages = 'opt/nodejs/node_modules';
    const root = folder({
      [`${packages}/dual/package.json`]: '{"exports":{"import":"./i.mjs","require":"./r.js"}}',
      [`${packages}/dual/i.mjs`]: 'import { inner } from "inner/sub"; export const kind = `import ${inner}`;',
      [`${packages}/dual/r.js`]: 'exports.kind = "require";',
      [`${packages}/inner/package.json`]: '{"type":"module","exports":{"./sub":"./s.js"}}',
      [`${packages}/inner/s.js`]: 'export const inner = "inner";',
      'opt/plain/old/index.js': 'exports.old = "old";',
      'task/app.mjs': 'import { kind } from "dual"; import old from "old"; export const handler = () => `${kind} ${old.old}`;',
      'task/lacking.mjs': 'import "not-there";',
      'task/sub.mjs': 'import "dual/none";',
    });
    const run = (name) => node(
      `require(aws + 'handler-loader.js').load(${JSON.stringify(`${root}/task`)}, '${name}.handler')
        .then((handler) => console.log(handler()), (error) => console.log(error.name + ' ' + error.message));`,
      { NODE_PATH: `/not/there/node_modules:${path.join(root, packages)}:${root}/opt/plain` }
    ).out;
    if (HOOKS) {
      assert.strictEqual(run('app'), 'import inner old\n');
      assert.ok(/^Runtime\.ImportModuleError .*'not-there' imported from .*lacking\.mjs/.test(run('lacking')), run('lacking'));
      assert.ok(run('sub').includes('none'), run('sub'));
    } else {
      assert.ok(/^Runtime\.ImportModuleError .*'dual'[^]*does not search NODE_PATH/.test(run('app')), run('app'));
    }
  });
}

if (TOP_LEVEL_AWAIT) {
  test('await at the top level', async () => {
    const root = folder({ 'app.mjs': 'const made = await Promise.resolve(() => 1); export { made as handler };' });
    assert.strictEqual((await load(root, 'app.handler'))(), 1);
  });
}

if (MAJOR >= 24) {
  test('an ES module that only its syntax gives away', async () => {
    const root = folder({ 'app.js': 'const made = await Promise.resolve(() => 1); export { made as handler };' });
    assert.strictEqual((await load(root, 'app.handler'))(), 1);
  });

  test('a JSON module', async () => {
    const root = folder({
      'app.mjs': 'import data from "./d.json" with { type: "json" }; export const handler = () => data.a;', 'd.json': '{"a":1}',
    });
    assert.strictEqual((await load(root, 'app.handler'))(), 1);
  });
}

test('a symbol marks a handler that streams its response', () => {
  const streaming = Symbol.for('aws.lambda.runtime.handler.streaming');
  const mark = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
  const options = (symbols) => streamingOptions(Object.assign(() => 1, symbols));
  assert.strictEqual(options({}), null);
  assert.strictEqual(options({ [streaming]: false }), null);
  assert.deepStrictEqual(options({ [streaming]: 'response' }), { highWaterMark: undefined });
  assert.deepStrictEqual(options({ [streaming]: 'response', [mark]: '64' }), { highWaterMark: 64 });
  assert.deepStrictEqual(options({ [streaming]: 'response', [mark]: 'x' }), { highWaterMark: undefined });
  assert.throws(() => options({ [streaming]: 'request' }), { name: 'Runtime.MalformedStreamingHandler' });
});
