'use strict';
// Formats log lines as AWS's managed runtimes do, as text or JSON, and writes them: to stdout, in frames to the
// descriptor that Lambda passes, or to the socket that Lambda names. Writes are synchronous, so a crash loses no line.

// Built-in modules are loaded late or avoided, because they cost start-up time: fs takes 3 ms on Node.js 18, util is for
// formatting only, process.stdout loads net and tty, and a Date loads ICU's time zones (5 to 10 ms from a cold disk).

const STDOUT = 1;
const DAY_MS = 86400000;
const FRAME_HEADER_BYTES = 16;
const TEXT_FRAME = 0xa55a0003;
const JSON_FRAME = 0xa55a0002;

const twoDigits = (number) => (number < 10 ? `0${number}` : String(number));

let settings; // of log.js
let cachedDate = { day: -1, text: '' };

function configure(logSettings) {
  settings = logSettings;
}

function writeLine(level, values) {
  const now = Date.now();
  write(level, now, settings.json ? jsonLine(level, now, values) : textLine(level, now, format(values)));
}

function textLine(level, now, message) {
  return `${timestamp(now)}\t${settings.getInvocation().requestId || '-'}\t${level}\t${message}`;
}

// The same text as Date's toISOString.
function timestamp(now) {
  const day = Math.floor(now / DAY_MS);
  if (day !== cachedDate.day) cachedDate = { day, text: isoDate(day) };
  const seconds = Math.floor((now % DAY_MS) / 1000);
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `${cachedDate.text}T${clock.map(twoDigits).join(':')}.${String(now % 1000).padStart(3, '0')}Z`;
}

// `day` counts from 1970-01-01.
function isoDate(day) {
  let left = day;
  let year = 1970;
  for (; left >= (isLeap(year) ? 366 : 365); year++) left -= isLeap(year) ? 366 : 365;
  const months = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  let month = 0;
  for (; left >= months[month]; month++) left -= months[month];
  return [year, month + 1, left + 1].map(twoDigits).join('-');
}

function isLeap(year) {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function format(values) {
  if (values.length === 0) return '';
  if (values.length === 1 && typeof values[0] === 'string') return values[0];
  return require('util').format(...values);
}

function jsonLine(level, now, values) {
  const record = createRecord(level, now);
  if (values.length === 1) {
    record.message = values[0];
    try {
      const text = JSON.stringify(record, expandErrors);
      // JSON.stringify leaves out the message for these.
      if (typeof values[0] !== 'function' && typeof values[0] !== 'symbol' && values[0] !== undefined) return text;
    } catch (_) {
      // formatted below: a cycle or a BigInt, for instance
    }
  }
  record.message = format(values);
  const firstError = values.length > 1 && values.find((value) => value instanceof Error);
  if (firstError) {
    const { errorType, errorMessage, stackTrace } = require('./errors.js').logFields(firstError, true);
    Object.assign(record, { errorType, errorMessage, stackTrace });
  }
  return JSON.stringify(record);
}

function createRecord(level, now) {
  const { requestId, tenantId } = settings.getInvocation();
  const record = { timestamp: timestamp(now), level, requestId };
  if (tenantId !== undefined && tenantId !== null && tenantId !== '') record.tenantId = tenantId;
  return record;
}

function expandErrors(key, value) {
  return value instanceof Error ? require('./errors.js').logFields(value, true) : value;
}

// Never throws.
function writeError(label, thrown) {
  const now = Date.now();
  const message = require('./errors.js').toLogValue(thrown, settings.json);
  if (settings.json) return write('ERROR', now, JSON.stringify(Object.assign(createRecord('ERROR', now), { message })));
  // AWS writes the space before the tab, and tools that parse these lines expect it.
  write('ERROR', now, textLine('ERROR', now, `${label} \t${JSON.stringify(message)}`));
}

function write(level, now, line) {
  if (settings.frameDescriptor) return writeAll(settings.frameDescriptor, frame(level, now, line));
  // Lambda takes a newline for the end of the record.
  const bytes = Buffer.from(`${line.replace(/\n/g, '\r')}\n`);
  const socket = settings.getSocketDescriptor();
  if (socket < 0 || !writeAll(socket, bytes)) writeAll(STDOUT, bytes);
}

// Type, length and microseconds, big-endian, then the line: the format of aws-lambda-nodejs-runtime-interface-client.
function frame(level, now, line) {
  const { json, levels } = settings;
  const content = json ? line : `${line}\n`;
  const length = Buffer.byteLength(content);
  const microseconds = now * 1000;
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
  bytes.writeUInt32BE(((json ? JSON_FRAME : TEXT_FRAME) | (levels[level] * 4)) >>> 0, 0);
  bytes.writeUInt32BE(length, 4);
  bytes.writeUInt32BE(Math.floor(microseconds / 0x100000000), 8);
  bytes.writeUInt32BE(microseconds % 0x100000000, 12);
  bytes.write(content, FRAME_HEADER_BYTES);
  return bytes;
}

// Retries partial writes. Returns false if nobody reads the other end any more.
function writeAll(descriptor, bytes) {
  const fs = require('fs');
  for (let written = 0; written < bytes.length; ) {
    try {
      written += fs.writeSync(descriptor, bytes, written, bytes.length - written);
    } catch (error) {
      if (error.code !== 'EAGAIN') return false;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // the pipe is full: sleep 1 ms
    }
  }
  return true;
}

module.exports = { configure, writeLine, writeError };
