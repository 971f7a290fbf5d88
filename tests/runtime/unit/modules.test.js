'use strict';

const fs = require('fs');
const { assert, test, AWS } = require('./harness.js');

// The client's own modules that each module requires, at any time.
function requireGraph() {
  const graph = {};
  fs.readdirSync(AWS).filter((name) => name.endsWith('.js')).forEach((name) => {
    const source = fs.readFileSync(`${AWS}/${name}`, 'utf8').replace(/^\s*\/\/.*$/gm, '');
    graph[name] = Array.from(source.matchAll(/\b(?:require|load|resolve)\('\.\/([\w-]+\.js)'\)/g), ([, required]) => required);
  });
  return graph;
}

test('every module of the client is required by another, and none requires itself through others', () => {
  const graph = requireGraph();
  const finished = new Set();
  const visit = (name, path) => {
    assert.ok(!path.includes(name), `circle: ${path.concat(name).join(' -> ')}`);
    if (!finished.has(name)) graph[name].forEach((required) => visit(required, path.concat(name)));
    finished.add(name);
  };
  visit('index.js', []);
  assert.deepStrictEqual(Object.keys(graph).sort(), Array.from(finished).sort());
});
