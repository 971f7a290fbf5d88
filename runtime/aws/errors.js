'use strict';
// Describes whatever was thrown: for the Runtime API, for a header, for the log. Nothing here throws, although what was
// thrown may be null, a string, a proxy, or an object whose getters throw. Loaded when something fails.

const MAX_MESSAGE_BYTES = 100000; // as JSON; with the trace the whole body stays below 200 kB
const MAX_TRACE_BYTES = 90000;
const MAX_LINE_BYTES = 10000;
const MAX_TYPE_CHARACTERS = 256;
const MAX_CAUSES = 20;
const MAX_DEPTH = 6;
const MAX_ENTRIES = 100;
const MAX_OBJECTS = 2000;
const UNREADABLE = '[cannot be read]';

function named(name, message) {
  const error = new Error(message);
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  if (Error.captureStackTrace) Error.captureStackTrace(error, named); // again, so that the stack starts with the name
  return error;
}

function read(object, key) {
  try {
    return object[key];
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

// { errorType, errorMessage, trace } in the format of the Runtime API.
function describe(thrown) {
  if (!isError(thrown)) {
    const errorType = thrown === null ? 'null' : typeof thrown;
    return { errorType, errorMessage: truncate(toText(thrown), MAX_MESSAGE_BYTES), trace: [] };
  }
  const errorType = truncate(nameOf(thrown), MAX_LINE_BYTES);
  return { errorType, errorMessage: truncate(messageOf(thrown), MAX_MESSAGE_BYTES), trace: traceOf(thrown) };
}

// The errorType as the value of a header: visible ASCII only.
function headerType(description) {
  const text = String(description.errorType).slice(0, MAX_TYPE_CHARACTERS);
  return text.replace(/[^\x20-\x7e]/g, '?').trim() || 'Error';
}

function nameOf(error) {
  const name = read(error, 'name');
  return typeof name === 'string' && name !== '' ? name : 'Error';
}

function messageOf(error) {
  const message = read(error, 'message');
  return message === undefined ? '' : toText(message);
}

// Any value as text: by its own toString, or else as JSON.
function toText(value) {
  if (typeof value === 'string') return value;
  try {
    const isPrimitive = value === null || typeof value !== 'object';
    if (isPrimitive || (value.toString !== Object.prototype.toString && !Array.isArray(value))) return String(value);
  } catch (_) {
    // its toString throws
  }
  const copy = typeof value === 'object' ? toPlain(value) : UNREADABLE;
  if (typeof copy === 'string') return copy;
  const json = JSON.stringify(copy);
  return json === undefined || json === '{}' ? objectTag(value) : json;
}

function objectTag(value) {
  try {
    const text = Object.prototype.toString.call(value);
    return text === '[object Object]' ? '{}' : text;
  } catch (_) {
    return UNREADABLE;
  }
}

// As AWS's runtime does, it replaces the DEL character by %7F.
function truncate(text, maxBytes) {
  let kept = text.slice(0, maxBytes).replace(/\x7f/g, '%7F');
  let complete = text.length <= maxBytes;
  for (let size = jsonBytes(kept); size > maxBytes; size = jsonBytes(kept)) {
    kept = kept.slice(0, Math.floor((kept.length * maxBytes) / size));
    complete = false;
  }
  return complete ? kept : `${kept}... [cut: ${text.length} characters in all]`;
}

function jsonBytes(text) {
  return Buffer.byteLength(JSON.stringify(text));
}

// The lines of the stack, then those of its causes, in the format of util.inspect and Java.
function traceOf(thrown) {
  const lines = [];
  const seen = [];
  (function add(label, value) {
    if (seen.includes(value) || seen.length === MAX_CAUSES) {
      lines.push(`${label}[${seen.includes(value) ? 'shown above' : 'more causes than are shown'}]`);
      return;
    }
    if (typeof value === 'object') seen.push(value);
    lines.push(...(label + (isError(value) ? stackOf(value) : toText(value))).split('\n', MAX_TRACE_BYTES / 3));
    causesOf(value).forEach(([causeLabel, cause]) => add(causeLabel, cause));
  })('', thrown);
  return fitTrace(lines);
}

function stackOf(error) {
  const message = messageOf(error);
  const stack = read(error, 'stack');
  if (typeof stack !== 'string' || stack === '') return `${nameOf(error)}: ${truncate(message, MAX_LINE_BYTES)}`;
  // A long message would leave no room for the frames after it.
  return message.length > MAX_LINE_BYTES ? stack.replace(message, () => truncate(message, MAX_LINE_BYTES)) : stack;
}

function causesOf(error) {
  if (!isError(error)) return [];
  const found = [];
  const cause = read(error, 'cause');
  if (cause !== undefined && cause !== null && typeof cause !== 'function') found.push(['Caused by: ', cause]);
  const errors = read(error, 'errors'); // of an AggregateError; libraries use the name for other lists too
  try {
    if (Array.isArray(errors)) {
      errors.slice(0, MAX_CAUSES).forEach((each, index) => {
        if (isError(each)) found.push([`Caused by (${index + 1} of ${errors.length}): `, each]);
      });
    }
  } catch (_) {
    // the list cannot be read
  }
  const name = nameOf(error);
  if (name === 'Runtime.UnhandledPromiseRejection') found.push(['Caused by: ', read(error, 'reason')]);
  if (name === 'SuppressedError') {
    found.push(['Caused by: ', read(error, 'error')], ['Suppressed: ', read(error, 'suppressed')]);
  }
  return found;
}

function fitTrace(lines) {
  const kept = [];
  let room = MAX_TRACE_BYTES;
  for (const line of lines) {
    const text = truncate(line, MAX_LINE_BYTES);
    room -= jsonBytes(text) + 1;
    if (room < 0) return kept.concat(`... [cut: ${lines.length} lines in all]`);
    kept.push(text);
  }
  return kept;
}

// The fields of one error in a log line. AWS's text lines have the name of the error and `stack`, its JSON lines the class
// and `stackTrace`.
function logFields(error, json) {
  const fields = { errorType: json ? classOf(error) : nameOf(error), errorMessage: messageOf(error) };
  const code = read(error, 'code');
  if (code !== undefined) fields.code = code;
  keysOf(error).forEach((key) => {
    fields[key] = read(error, key);
  });
  const stack = read(error, 'stack');
  fields[json ? 'stackTrace' : 'stack'] = typeof stack === 'string' ? stack.split('\n') : [];
  return fields;
}

// What was thrown, with its causes, for JSON.stringify.
function toLogValue(thrown, json) {
  if (isError(thrown)) return toPlain(thrown, json);
  const { errorType, errorMessage, trace } = describe(thrown);
  return { errorType, errorMessage, [json ? 'stackTrace' : 'stack']: trace };
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

// A copy for JSON.stringify: without cycles and getters, with limited depth and size.
function toPlain(root, json) {
  const ancestors = [];
  let objectsLeft = MAX_OBJECTS;

  function copyObject(object) {
    const keys = Object.keys(object);
    const copy = {};
    keys.slice(0, MAX_ENTRIES).forEach((key) => {
      copy[key] = copyValue(read(object, key));
    });
    if (keys.length > MAX_ENTRIES) copy['...'] = `[cut: ${keys.length} entries in all]`;
    return copy;
  }

  function copyArray(array) {
    const copy = Array.from(array.slice(0, MAX_ENTRIES), copyValue);
    if (array.length > MAX_ENTRIES) copy.push(`[cut: ${array.length} entries in all]`);
    return copy;
  }

  function copyContent(object) {
    if (ArrayBuffer.isView(object)) return `[${object.byteLength} bytes]`;
    if (isError(object)) return copyObject(logFields(object, json));
    if (typeof object.toJSON === 'function') return copyValue(object.toJSON());
    return Array.isArray(object) ? copyArray(object) : copyObject(object);
  }

  function copyValue(value) {
    if (typeof value === 'string') return truncate(value, MAX_LINE_BYTES);
    if (typeof value === 'bigint') return String(value);
    if (typeof value === 'function' || typeof value === 'symbol') return undefined;
    if (value === null || typeof value !== 'object') return value;
    if (ancestors.includes(value)) return '[Circular]';
    if (ancestors.length === MAX_DEPTH || --objectsLeft < 0) return '[...]';
    ancestors.push(value);
    try {
      return copyContent(value);
    } catch (_) {
      return UNREADABLE;
    } finally {
      ancestors.pop();
    }
  }

  return copyValue(root);
}

module.exports = { named, describe, headerType, logFields, toLogValue };
