'use strict';
// invoke.js VERSION FOLDER: start /opt/bootstrap under AWS's Runtime Interface Emulator, invoke the sample function
// in FOLDER once, and print the result. The Node.js under test runs this file, so it uses old syntax only.

var childProcess = require('child_process');
var fs = require('fs');
var http = require('http');

var version = process.argv[2];
var folder = process.argv[3];

var EMULATOR = { host: '127.0.0.1', port: 18080 };
var DEADLINE = Date.now() + 120 * 1000; // an emulated architecture is slow
var event = fs.readFileSync(folder + '/event.json');

function osRelease() {
  var found = {};
  fs.readFileSync('/etc/os-release', 'utf8').split('\n').forEach(function (line) {
    var parts = /^([A-Z_]+)="?([^"]*)"?$/.exec(line);
    if (parts) found[parts[1]] = parts[2];
  });
  return found;
}

var env = {};
Object.keys(process.env).forEach(function (name) { env[name] = process.env[name]; });
env._HANDLER = 'function.handler';
env.LAMBDA_TASK_ROOT = folder;
env.AWS_LAMBDA_FUNCTION_NAME = 'function';
env.AWS_LAMBDA_FUNCTION_TIMEOUT = '60';

var emulator = childProcess.spawn(
  folder + '/rie',
  [
    '--runtime-interface-emulator-address', EMULATOR.host + ':' + EMULATOR.port,
    '--runtime-api-address', EMULATOR.host + ':' + (EMULATOR.port + 1),
    '/opt/bootstrap'
  ],
  { env: env, cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] }
);

function end(code, why) {
  if (why) console.error('nodelayer: ' + why);
  emulator.removeAllListeners('exit');
  // On SIGTERM the emulator stops the runtime first; after 5 seconds this process does not wait any longer.
  emulator.on('exit', function () { process.exit(code); });
  emulator.kill('SIGTERM');
  setTimeout(function () { process.exit(code); }, 5000);
}

emulator.on('error', function (error) {
  console.error('nodelayer: the Runtime Interface Emulator cannot be started: ' + error.message);
  process.exit(66);
});
emulator.on('exit', function (code, signal) { end(66, 'the Runtime Interface Emulator ended early: ' + (code === null ? signal : code)); });

function invoke() {
  var request = http.request({
    host: EMULATOR.host,
    port: EMULATOR.port,
    method: 'POST',
    path: '/2015-03-31/functions/function/invocations',
    headers: { 'content-type': 'application/json', 'content-length': event.length }
  }, function (response) {
    var chunks = [];
    response.on('data', function (chunk) { chunks.push(chunk); });
    response.on('end', function () { judge(Buffer.concat(chunks).toString()); });
  });
  request.on('error', function (error) {
    if (error.code === 'ECONNREFUSED' && Date.now() < DEADLINE) setTimeout(invoke, 50);
    else end(66, 'the Runtime Interface Emulator did not answer: ' + error.message);
  });
  request.end(event);
}

function judge(text) {
  var answer;
  try {
    answer = JSON.parse(text);
  } catch (error) {
    return end(67, 'the answer of the sample function is not JSON: ' + text.slice(0, 500));
  }
  if (!answer || answer.errorType || text.indexOf('"v' + version + '"') < 0) {
    return end(67, 'the sample function did not answer correctly: ' + text.slice(0, 500));
  }
  var proof = JSON.stringify({ versions: process.versions, answer: answer, system: osRelease() });
  process.stdout.write('nodelayer-proof: ' + proof + '\n', function () { end(0); });
}

setTimeout(function () { end(66, 'the sample function did not answer within two minutes'); }, DEADLINE - Date.now());
invoke();
