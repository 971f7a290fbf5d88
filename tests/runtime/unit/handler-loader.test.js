'use strict';

const path = require('path');
const { assert, test, node, folder, AWS, MAJOR } = require('./harness.js');
const { load } = require(`${AWS}/handler-loader.js`);

const [, MINOR] = process.versions.node.split('.').map(Number);
const ESM = MAJOR > 12 || MINOR >= 17;
const HOOKS = MAJOR > 20 || (MAJOR === 20 && MINOR >= 6) || (MAJOR === 18 && MINOR >= 19);

// The error that load() throws or rejects with.
async function failure(root, handler) {
  try {
    await load(root, handler);
  } catch (error) {
    return error;
  }
  throw new Error(`${handler} was loaded`);
}

test('the handler is the file without extension, else .js, .mjs, .cjs, else what Node.js finds', () => {
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

test('the handler may be in a package on NODE_PATH', () => {
  const root = folder({ 'task/x.js': '', 'opt/node_modules/layered/index.js': 'exports.handler = () => "layered";' });
  const done = node(
    `console.log(require(aws + 'handler-loader.js').load(${JSON.stringify(`${root}/task`)}, 'layered.handler')())`,
    { NODE_PATH: `${root}/opt/node_modules` }
  );
  assert.strictEqual(done.out, 'layered\n', done.err);
});

test('a CommonJS handler loads no built-in module', () => {
  const root = folder({ 'app.js': 'exports.handler = () => 1;', 'package.json': '{}', 'empty.js': '' });
  const done = node(`require(${JSON.stringify(`${root}/empty.js`)}); const had = new Set(process.moduleLoadList);
    require(aws + 'handler-loader.js').load(${JSON.stringify(root)}, 'app.handler')();
    const news = process.moduleLoadList.filter((name) => !had.has(name)); console.log(news.join());`);
  assert.strictEqual(done.out, '\n', done.err);
});

if (ESM) {
  test('a module is an ES module by its extension or by the type of the nearest package.json', async () => {
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

  test('the stack of a syntax error in an ES module starts with its file and line', async () => {
    const root = folder({
      'app.mjs': '\nexport const handler = ;', 'outer.mjs': 'import "./inner.mjs";', 'inner.mjs': 'export const;',
    });
    const error = await failure(root, 'app.handler');
    assert.strictEqual(error.name, 'Runtime.UserCodeSyntaxError');
    assert.ok(error.stack.startsWith(`${root}/app.mjs:2\nexport const`), error.stack);
    const outer = await failure(root, 'outer.handler');
    assert.ok(outer.stack.includes(`${root}/outer.mjs or a module that it imports`), outer.stack);
  });

  test('import finds packages on NODE_PATH, or the error says that this Node.js cannot', () => {
    const packages = 'opt/nodejs/node_modules';
    const root = folder({
      [`${packages}/dual/package.json`]: '{"exports":{"import":"./i.mjs","require":"./r.js"}}',
      [`${packages}/dual/i.mjs`]: 'import { inner } from "inner/sub"; export const kind = `import ${inner}`;',
      [`${packages}/dual/r.js`]: 'exports.kind = "require";',
      [`${packages}/inner/package.json`]: '{"type":"module","exports":{"./sub":"./s.js"}}',
      [`${packages}/inner/s.js`]: 'export const inner = "inner";',
      'opt/plain/old/index.js': 'exports.old = "old";',
      'task/app.mjs': 'import { kind } from "dual"; import old from "old"; export const handler = () => `${kind} ${old.old}`;',
      'task/missing.mjs': 'import "not-there";',
      'task/sub.mjs': 'import "dual/none";',
    });
    const run = (name) => node(
      `require(aws + 'handler-loader.js').load(${JSON.stringify(`${root}/task`)}, '${name}.handler')
        .then((handler) => console.log(handler()), (error) => console.log(error.name + ' ' + error.message));`,
      { NODE_PATH: `/not/there/node_modules:${path.join(root, packages)}:${root}/opt/plain` }
    ).out;
    if (HOOKS) {
      assert.strictEqual(run('app'), 'import inner old\n');
      assert.ok(/^Runtime\.ImportModuleError .*'not-there' imported from .*missing\.mjs/.test(run('missing')), run('missing'));
      assert.ok(run('sub').includes('none'), run('sub'));
    } else {
      assert.ok(/^Runtime\.ImportModuleError .*'dual'[^]*does not search NODE_PATH/.test(run('app')), run('app'));
    }
  });
}
