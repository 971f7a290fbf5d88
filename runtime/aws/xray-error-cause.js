'use strict';
// The header Lambda-Runtime-Function-XRay-Error-Cause: an error as X-Ray shows it, as JSON.

const describe = require('./errors.js').describe;

const MAX_HEADER = 8000; // characters. Lambda takes more, but many servers limit all headers together to 8 or 16 kB
const MAX_LINE = 1000;
// Pairs of how many frames and how many characters of the message to keep. The first pair that fits is used.
const SIZES = [[100, 4000], [50, 2000], [20, 1000], [5, 500], [0, 300], [0, 0]];

// Returns '' if the error cannot be described. Never throws.
function create(thrown) {
  try {
    const { errorType, errorMessage, trace } = describe(thrown);
    const frames = parseStack(trace);
    const folder = workingDirectory();
    for (const [count, length] of SIZES) {
      const kept = frames.slice(0, count);
      const text = toAsciiJson({
        working_directory: folder,
        exceptions: [{ type: errorType.slice(0, 256), message: errorMessage.slice(0, length), stack: kept }],
        paths: Array.from(new Set(kept.map((frame) => frame.path))),
      });
      if (text.length <= MAX_HEADER) return text;
    }
  } catch (_) {
    // the body of the error report has the same facts
  }
  return '';
}

function toAsciiJson(value) {
  return JSON.stringify(value).replace(/[^\x20-\x7e]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function workingDirectory() {
  try {
    return process.cwd().slice(0, MAX_LINE);
  } catch (_) {
    return ''; // the folder was deleted
  }
}

// Without the frames of the causes, because the header cannot say which error a frame belongs to.
function parseStack(trace) {
  const end = trace.findIndex((line) => line.startsWith('Caused by'));
  return trace
    .slice(0, end < 0 ? trace.length : end)
    .filter((line) => /^\s+at /.test(line))
    .map((line) => parseFrame(line.trim().slice('at '.length, MAX_LINE)));
}

// `label (path:line:column)` or `path:line:column`, both possibly after `async `.
function parseFrame(text) {
  const open = text.endsWith(')') ? text.indexOf(' (') : -1;
  const label = open < 0 ? 'anonymous' : text.slice(0, open);
  const location = open < 0 ? text.replace(/^async /, '') : text.slice(open + 2, -1);
  const numbers = /(?::(\d+))(?::\d+)?$/.exec(location);
  const path = numbers ? location.slice(0, numbers.index) : location;
  return { path: path.replace(/^file:\/\//, ''), line: numbers ? Number(numbers[1]) : 0, label };
}

module.exports = { create };
