'use strict';
// A line of the log, as AWS's managed runtimes write it: text or JSON, to stdout, in frames to the descriptor that Lambda
// hands over, or to the socket that it names. Written at once, so that no line is lost in a crash. Loaded with the first line.

// What costs time is left until it is needed, or left alone: fs takes 3 ms on Node.js 18, util is for formatting only,
// process.stdout would load net and tty, and a Date loads ICU's time zones: 5 to 10 ms from a cold disk.

const { current, settings, LEVELS } = require('./log.js');

const STDOUT = 1;
const DAY = 86400000;
const FRAME_HEADER = 16;
const FRAME_TEXT = 0xa55a0003;
const FRAME_JSON = 0xa55a0002;

const { json, telemetry } = settings;
let today = { day: -1, text: '' };

function emit(level, values) {
  const now = Date.now();
  if (json) return send(level, now, jsonLine(level, now, values));
  send(level, now, textLine(level, now, format(values)));
}

function textLine(level, now, message) {
  return `${timestamp(now)}\t${current().requestId || '-'}\t${level}\t${message}`;
}

// What Date's toISOString gives.
function timestamp(now) {
  const day = Math.floor(now / DAY);
  if (day !== today.day) today = { day, text: date(day) };
  const seconds = Math.floor((now % DAY) / 1000);
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `${today.text}T${clock.map(twoDigits).join(':')}.${String(now % 1000).padStart(3, '0')}Z`;
}

function date(day) {
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

function twoDigits(number) {
  return number < 10 ? `0${number}` : String(number);
}

function format(values) {
  if (values.length === 0) return '';
  if (values.length === 1 && typeof values[0] === 'string') return values[0];
  return require('util').format(...values);
}

function jsonLine(level, now, values) {
  const line = record(level, now);
  if (values.length === 1) {
    line.message = values[0];
    try {
      const text = JSON.stringify(line, errorsInside);
      // A function and a symbol have no JSON.
      if (typeof values[0] !== 'function' && typeof values[0] !== 'symbol' && values[0] !== undefined) return text;
    } catch (_) {
      // a cycle or a big integer, for instance
    }
  }
  line.message = format(values);
  if (values.length > 1) {
    const found = values.find((value) => value instanceof Error);
    if (found) {
      const { errorType, errorMessage, stackTrace } = require('./errors.js').fields(found, true);
      Object.assign(line, { errorType, errorMessage, stackTrace });
    }
  }
  return JSON.stringify(line);
}

function record(level, now) {
  const { requestId, tenantId } = current();
  const line = { timestamp: timestamp(now), level, requestId };
  if (tenantId !== undefined && tenantId !== null && tenantId !== '') line.tenantId = tenantId;
  return line;
}

function errorsInside(key, value) {
  return value instanceof Error ? require('./errors.js').fields(value, true) : value;
}

// A line about what was thrown. Never throws.
function error(label, thrown) {
  const now = Date.now();
  const shown = require('./errors.js').shown(thrown, json);
  if (json) {
    const line = record('ERROR', now);
    line.message = shown;
    return send('ERROR', now, JSON.stringify(line));
  }
  // The blank before the tab is AWS's; tools that read these lines know it.
  send('ERROR', now, textLine('ERROR', now, `${label} \t${JSON.stringify(shown)}`));
}

function send(level, now, line) {
  if (telemetry) return write(telemetry, frame(level, now, json ? line : `${line}\n`));
  // One line each: Lambda takes the next newline for the next record.
  const bytes = Buffer.from(`${line.replace(/\n/g, '\r')}\n`);
  const socket = settings.socket();
  if (socket < 0 || !write(socket, bytes)) write(STDOUT, bytes);
}

// Type, length and microseconds, big-endian, before the line, as AWS's aws-lambda-nodejs-runtime-interface-client.
function frame(level, now, line) {
  const length = Buffer.byteLength(line);
  const micros = now * 1000;
  const bytes = Buffer.allocUnsafe(FRAME_HEADER + length);
  bytes.writeUInt32BE(((json ? FRAME_JSON : FRAME_TEXT) | (LEVELS[level] * 4)) >>> 0, 0);
  bytes.writeUInt32BE(length, 4);
  bytes.writeUInt32BE(Math.floor(micros / 0x100000000), 8);
  bytes.writeUInt32BE(micros % 0x100000000, 12);
  bytes.write(line, FRAME_HEADER);
  return bytes;
}

// All of it, whatever a pipe takes at once. False where nobody is left to read.
function write(descriptor, bytes) {
  const fs = require('fs');
  for (let done = 0; done < bytes.length; ) {
    try {
      done += fs.writeSync(descriptor, bytes, done, bytes.length - done);
    } catch (failure) {
      if (failure.code !== 'EAGAIN') return false;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // a full pipe: a millisecond for its reader
    }
  }
  return true;
}

module.exports = { emit, error };
