'use strict';
// Whatever was thrown, put into words: for the Runtime API, for a header, for the log. Nothing here throws, although
// what was thrown may be null, a text, a proxy, or an object whose getters throw. Loaded only once something fails.

const MESSAGE_BYTES = 100000; // as JSON; with the trace the whole body stays below 200 kB
const TRACE_BYTES = 90000;
const LINE_BYTES = 10000;
const TYPE_CHARACTERS = 256;
const CAUSES = 20;
const DEPTH = 6;
const ENTRIES = 100;
const VALUES = 2000;
const UNREADABLE = '[cannot be read]';

function named(name, message) {
  const error = new Error(message);
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  if (Error.captureStackTrace) Error.captureStackTrace(error, named); // again: a stack that begins with the name
  return error;
}

function read(value, key) {
  try {
    return value[key];
  } catch (_) {
    return undefined;
  }
}

function isError(value) {
  if (value === null || typeof value !== 'object') return false;
  try {
    if (value instanceof Error || Object.prototype.toString.call(value) === '[object Error]') return true;
  } catch (_) {
    return false;
  }
  return ['name', 'message', 'stack'].every((key) => {
    const text = read(value, key);
    return typeof text === 'string' && text !== '';
  });
}

// { errorType, errorMessage, trace } as the Runtime API takes it.
function describe(thrown) {
  if (!isError(thrown)) {
    const errorType = thrown === null ? 'null' : typeof thrown;
    return { errorType, errorMessage: cut(words(thrown), MESSAGE_BYTES), trace: [] };
  }
  const errorType = cut(nameOf(thrown), LINE_BYTES);
  return { errorType, errorMessage: cut(messageOf(thrown), MESSAGE_BYTES), trace: trace(thrown) };
}

// The value of a header: visible ASCII only.
function type(description) {
  const text = String(description.errorType).slice(0, TYPE_CHARACTERS);
  return text.replace(/[^\x20-\x7e]/g, '?').trim() || 'Error';
}

function nameOf(error) {
  const name = read(error, 'name');
  return typeof name === 'string' && name !== '' ? name : 'Error';
}

function messageOf(error) {
  const message = read(error, 'message');
  return message === undefined ? '' : words(message);
}

// Any value as text; an object that has no words of its own as JSON.
function words(value) {
  if (typeof value === 'string') return value;
  try {
    const plainText = value === null || typeof value !== 'object';
    if (plainText || (value.toString !== Object.prototype.toString && !Array.isArray(value))) return String(value);
  } catch (_) {
    // no words of its own then
  }
  const copy = typeof value === 'object' ? plain(value) : UNREADABLE;
  if (typeof copy === 'string') return copy;
  const json = JSON.stringify(copy);
  return json === undefined || json === '{}' ? tag(value) : json;
}

function tag(value) {
  try {
    const text = Object.prototype.toString.call(value);
    return text === '[object Object]' ? '{}' : text;
  } catch (_) {
    return UNREADABLE;
  }
}

// As AWS does, DEL goes out as %7F.
function cut(text, limit) {
  let kept = text.slice(0, limit).replace(/\x7f/g, '%7F');
  let whole = text.length <= limit;
  for (let size = bytes(kept); size > limit; size = bytes(kept)) {
    kept = kept.slice(0, Math.floor((kept.length * limit) / size));
    whole = false;
  }
  return whole ? kept : `${kept}... [cut: ${text.length} characters in all]`;
}

function bytes(text) {
  return Buffer.byteLength(JSON.stringify(text));
}

// The stack, then what caused it, as Java and util.inspect show it.
function trace(thrown) {
  const lines = [];
  const seen = [];
  (function add(label, value) {
    if (seen.includes(value) || seen.length === CAUSES) {
      lines.push(`${label}[${seen.includes(value) ? 'shown above' : 'more causes than are shown'}]`);
      return;
    }
    if (typeof value === 'object') seen.push(value);
    lines.push(...(label + (isError(value) ? stackOf(value) : words(value))).split('\n', TRACE_BYTES / 3));
    causes(value).forEach(([name, cause]) => add(name, cause));
  })('', thrown);
  return fit(lines);
}

function stackOf(error) {
  const message = messageOf(error);
  const stack = read(error, 'stack');
  if (typeof stack !== 'string' || stack === '') return `${nameOf(error)}: ${cut(message, LINE_BYTES)}`;
  // A message that takes all the room would leave none for the frames behind it.
  return message.length > LINE_BYTES ? stack.replace(message, () => cut(message, LINE_BYTES)) : stack;
}

function causes(error) {
  if (!isError(error)) return [];
  const found = [];
  const cause = read(error, 'cause');
  if (cause !== undefined && cause !== null && typeof cause !== 'function') found.push(['Caused by: ', cause]);
  const errors = read(error, 'errors'); // of an AggregateError; elsewhere the name stands for other things as well
  try {
    if (Array.isArray(errors)) {
      errors.slice(0, CAUSES).forEach((one, at) => {
        if (isError(one)) found.push([`Caused by (${at + 1} of ${errors.length}): `, one]);
      });
    }
  } catch (_) {
    // a list that cannot be read is not shown
  }
  const name = nameOf(error);
  if (name === 'Runtime.UnhandledPromiseRejection') found.push(['Caused by: ', read(error, 'reason')]);
  if (name === 'SuppressedError') {
    found.push(['Caused by: ', read(error, 'error')], ['Suppressed: ', read(error, 'suppressed')]);
  }
  return found;
}

function fit(lines) {
  const kept = [];
  let room = TRACE_BYTES;
  for (const line of lines) {
    const text = cut(line, LINE_BYTES);
    room -= bytes(text) + 1;
    if (room < 0) return kept.concat(`... [cut: ${lines.length} lines in all]`);
    kept.push(text);
  }
  return kept;
}

// One level of an error as the log shows it: what it is, its own properties, and where it comes from. AWS's text lines
// say its name and `stack`, its JSON lines its class and `stackTrace`.
function fields(error, json) {
  const all = { errorType: json ? classOf(error) : nameOf(error), errorMessage: messageOf(error) };
  const code = read(error, 'code');
  if (code !== undefined) all.code = code;
  keysOf(error).forEach((key) => {
    all[key] = read(error, key);
  });
  const stack = read(error, 'stack');
  all[json ? 'stackTrace' : 'stack'] = typeof stack === 'string' ? stack.split('\n') : [];
  return all;
}

// The whole of it for a line of the log, as JSON.stringify takes it.
function shown(thrown, json) {
  if (isError(thrown)) return plain(thrown, json);
  const { errorType, errorMessage, trace: stack } = describe(thrown);
  return json ? { errorType, errorMessage, stackTrace: stack } : { errorType, errorMessage, stack };
}

function classOf(error) {
  const name = read(read(error, 'constructor'), 'name');
  return typeof name === 'string' && name !== '' && name !== 'Error' ? name : nameOf(error);
}

function keysOf(error) {
  try {
    const hidden = ['cause', 'errors'].filter((key) => Object.prototype.hasOwnProperty.call(error, key));
    return Object.keys(error).filter((key) => key !== 'stack' && !hidden.includes(key)).concat(hidden);
  } catch (_) {
    return [];
  }
}

// A copy that JSON.stringify takes: no cycle, no getter, not too deep, not too long.
function plain(value, json) {
  const above = [];
  let left = VALUES;

  function own(object) {
    const keys = Object.keys(object);
    const copy = {};
    keys.slice(0, ENTRIES).forEach((key) => {
      copy[key] = walk(read(object, key));
    });
    if (keys.length > ENTRIES) copy['...'] = `[cut: ${keys.length} entries in all]`;
    return copy;
  }

  function list(array) {
    const copy = Array.from(array.slice(0, ENTRIES), walk);
    if (array.length > ENTRIES) copy.push(`[cut: ${array.length} entries in all]`);
    return copy;
  }

  function inside(object) {
    if (ArrayBuffer.isView(object)) return `[${object.byteLength} bytes]`;
    if (isError(object)) return own(fields(object, json));
    if (typeof object.toJSON === 'function') return walk(object.toJSON());
    return Array.isArray(object) ? list(object) : own(object);
  }

  function walk(one) {
    if (typeof one === 'string') return cut(one, LINE_BYTES);
    if (typeof one === 'bigint') return String(one);
    if (typeof one === 'function' || typeof one === 'symbol') return undefined;
    if (one === null || typeof one !== 'object') return one;
    if (above.includes(one)) return '[Circular]';
    if (above.length === DEPTH || --left < 0) return '[...]';
    above.push(one);
    try {
      return inside(one);
    } catch (_) {
      return UNREADABLE;
    } finally {
      above.pop();
    }
  }

  return walk(value);
}

module.exports = { named, describe, type, fields, shown };
