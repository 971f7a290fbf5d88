'use strict';
// What X-Ray shows of an error: the JSON of the header Lambda-Runtime-Function-XRay-Error-Cause.

const describe = require('./errors.js').describe;

const CHARACTERS = 8000; // of a header: Lambda takes more, but many a server stops at 8 or 16 kB for all of them
const LINE = 1000;
// How many frames and how many characters of the message: the first pair that fits.
const ATTEMPTS = [[100, 4000], [50, 2000], [20, 1000], [5, 500], [0, 300], [0, 0]];

// Never throws; '' when nothing can be said.
function cause(thrown) {
  try {
    const { errorType, errorMessage, trace } = describe(thrown);
    const frames = stack(trace);
    const folder = workingDirectory();
    for (const [count, length] of ATTEMPTS) {
      const kept = frames.slice(0, count);
      const text = ascii({
        working_directory: folder,
        exceptions: [{ type: errorType.slice(0, 256), message: errorMessage.slice(0, length), stack: kept }],
        paths: Array.from(new Set(kept.map((frame) => frame.path))),
      });
      if (text.length <= CHARACTERS) return text;
    }
  } catch (_) {
    // told by the error's body as well
  }
  return '';
}

function ascii(value) {
  return JSON.stringify(value).replace(/[^\x20-\x7e]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function workingDirectory() {
  try {
    return process.cwd().slice(0, LINE);
  } catch (_) {
    return ''; // a folder that is gone
  }
}

// The frames of the error itself, not of its causes: the header has no place for whose they are.
function stack(trace) {
  const end = trace.findIndex((line) => line.startsWith('Caused by'));
  return trace
    .slice(0, end < 0 ? trace.length : end)
    .filter((line) => /^\s+at /.test(line))
    .map((line) => frame(line.trim().slice('at '.length, LINE)));
}

// `label (path:line:column)` or `path:line:column`, either behind `async `.
function frame(text) {
  const open = text.endsWith(')') ? text.indexOf(' (') : -1;
  const label = open < 0 ? 'anonymous' : text.slice(0, open);
  const place = open < 0 ? text.replace(/^async /, '') : text.slice(open + 2, -1);
  const numbers = /(?::(\d+))(?::\d+)?$/.exec(place);
  const path = numbers ? place.slice(0, numbers.index) : place;
  return { path: path.replace(/^file:\/\//, ''), line: numbers ? Number(numbers[1]) : 0, label };
}

module.exports = { cause };
