'use strict';
// Replies of the Runtime API, read from what comes over a connection, in whatever pieces it comes.

const HEAD_END = Buffer.from('\r\n\r\n');
const MOST_HEAD = 1 << 20;
const KEPT = 1 << 20; // the room for a body of up to so many bytes is used again

class Reader {
  // Calls connection.done(reply, last) for each reply, abandon(error) where nobody can read what came.
  constructor(connection) {
    this.connection = connection;
    this.rest = null; // what came and is no whole head yet
    this.reply = null; // the reply whose body is being read
    this.target = null; // a body of known length, being filled
    this.room = null; // for the target, kept: to get memory for each large event anew costs more than to read it
    this.filled = 0;
    this.chunks = null; // a chunked body being read
  }

  take(bytes, length) {
    if (this.target !== null && this.fill(bytes, length)) return;
    try {
      const from = this.reply === null && this.rest === null ? this.takeWhole(bytes, length) : 0;
      if (from < length && this.connection.open) this.parse(bytes.slice(from, length));
    } catch (error) {
      if (!error.protocol) throw error;
      this.connection.abandon(error);
    }
  }

  // Nearly every reply comes whole, in one read: this makes no Buffer. Gives how far it came.
  takeWhole(bytes, length) {
    let at = 0;
    while (at < length && this.connection.open && this.connection.waiting.length > 0) {
      const end = bytes.indexOf(HEAD_END, at);
      if (end < 0 || end + 4 > length) break;
      const reply = readHead(bytes.utf8Slice(at, end));
      const size = reply.status < 200 ? NaN : lengthOf(reply);
      const next = end + 4 + size;
      if (!(next <= length)) break;
      at = next;
      reply.hold(bytes, end + 4, next);
      this.done(reply);
    }
    return at;
  }

  // True where all of it belonged to the body whose length is known and that is not whole yet.
  fill(bytes, length) {
    const wanted = this.target.length - this.filled;
    if (length > wanted) return false;
    bytes.copy(this.target, this.filled, 0, length);
    this.filled += length;
    if (length === wanted) this.parse(bytes.slice(0, 0));
    return true;
  }

  parse(came) {
    let data = this.rest === null ? came : Buffer.concat([this.rest, came]);
    this.rest = null;
    while (this.connection.open) {
      if (this.reply === null) {
        const end = data.indexOf(HEAD_END);
        if (end < 0) {
          if (data.length > MOST_HEAD) throw bad('the head of a reply has no end');
          if (data.length > 0) this.rest = Buffer.from(data);
          return;
        }
        this.reply = readHead(data.utf8Slice(0, end));
        data = data.slice(end + 4);
        if (this.reply.status < 200) {
          this.reply = null;
          continue;
        }
        if (this.connection.waiting.length === 0) throw bad('a reply came that nobody had asked for');
        this.expect(this.reply);
      }
      const left = this.readBody(data);
      if (left === null) return;
      data = left;
    }
  }

  expect(reply) {
    this.target = this.chunks = null;
    reply.length = lengthOf(reply);
    if (!Number.isNaN(reply.length)) return;
    reply.untilEnd = !isChunked(reply);
    this.chunks = { parts: [], left: 0, state: SIZE, line: '' };
  }

  // What is left over once the body is whole, or null where more has to come.
  readBody(data) {
    const reply = this.reply;
    if (reply.untilEnd) {
      if (data.length > 0) this.chunks.parts.push(Buffer.from(data));
      return null;
    }
    if (this.chunks !== null) return this.readChunks(data);
    if (this.target === null) {
      if (data.length >= reply.length) {
        this.finish(data.slice(0, reply.length));
        return data.slice(reply.length);
      }
      this.target = this.makeRoom(reply.length);
      this.filled = 0;
    }
    const wanted = this.target.length - this.filled;
    data.copy(this.target, this.filled, 0, Math.min(wanted, data.length));
    if (data.length < wanted) {
      this.filled += data.length;
      return null;
    }
    const body = this.target;
    this.target = null;
    this.finish(body);
    return data.slice(wanted);
  }

  makeRoom(length) {
    if (length > KEPT) return Buffer.allocUnsafeSlow(length);
    if (this.room === null || this.room.length < length) this.room = Buffer.allocUnsafeSlow(length);
    return this.room.slice(0, length);
  }

  readChunks(data) {
    const chunks = this.chunks;
    let at = 0;
    while (at < data.length) {
      if (chunks.state === DATA) {
        const take = Math.min(chunks.left, data.length - at);
        chunks.parts.push(Buffer.from(data.slice(at, at + take)));
        at += take;
        chunks.left -= take;
        if (chunks.left === 0) chunks.state = AFTER;
        continue;
      }
      const end = data.indexOf(10, at);
      chunks.line += data.latin1Slice(at, end < 0 ? data.length : end);
      if (end < 0) {
        if (chunks.line.length > MOST_HEAD) throw bad('a line of a chunked reply has no end');
        return null;
      }
      at = end + 1;
      const line = chunks.line.trim();
      chunks.line = '';
      if (chunks.state === SIZE) {
        if (!/^[0-9a-f]{1,12}(\s*;.*)?$/i.test(line)) throw bad('a chunk of a reply has no valid size');
        chunks.left = parseInt(line, 16);
        chunks.state = chunks.left === 0 ? TRAILERS : DATA;
      } else if (chunks.state === AFTER) {
        if (line !== '') throw bad('a chunk of a reply is longer than it said');
        chunks.state = SIZE;
      } else if (line === '') {
        this.chunks = null;
        this.finish(chunks.parts.length === 1 ? chunks.parts[0] : Buffer.concat(chunks.parts));
        return data.slice(at);
      }
    }
    return null;
  }

  finish(body) {
    const reply = this.reply;
    this.reply = null;
    reply.hold(body);
    this.done(reply);
  }

  // The other side ended the connection: gives the reply that ends so, or null.
  end() {
    if (this.reply === null || !this.reply.untilEnd) return null;
    this.reply.hold(Buffer.concat(this.chunks.parts));
    return this.reply;
  }

  done(reply) {
    const told = reply.headers.get('connection');
    this.connection.done(reply, told !== undefined && /\bclose\b/i.test(told));
  }
}

const SIZE = 0;
const DATA = 1;
const AFTER = 2;
const TRAILERS = 3;

class Reply {
  constructor(status, headers) {
    this.status = status;
    this.headers = headers;
    this.length = 0;
    this.untilEnd = false; // of the connection
    this.bytes = null;
    this.from = 0;
    this.to = 0;
  }

  hold(bytes, from = 0, to = bytes.length) {
    this.bytes = bytes;
    this.from = from;
    this.to = to;
  }

  text() {
    return this.bytes.utf8Slice(this.from, this.to);
  }

  // Why the API did not do what was asked.
  refusal() {
    const text = this.text().slice(0, 1000).trim();
    return `${this.status}${text ? ` ${text}` : ''}`;
  }
}

const keys = Object.create(null);

// Looked up in the text itself: of a dozen headers a few are wanted.
class Headers {
  constructor(text) {
    this.text = text;
    this.lower = text.toLowerCase();
    // Some letters become two: then the places would not agree.
    if (this.lower.length !== text.length) this.lower = text.replace(/[A-Z]+/g, (name) => name.toLowerCase());
  }

  get(name) {
    const key = keys[name] || (keys[name] = `\r\n${name}:`);
    const at = this.lower.indexOf(key);
    if (at < 0) return undefined;
    const end = this.text.indexOf('\r\n', at + key.length);
    return this.text.slice(at + key.length, end < 0 ? this.text.length : end).trim();
  }
}

function readHead(text) {
  const status = Number(text.slice(9, 12));
  if (!text.startsWith('HTTP/1.') || !(status >= 100)) throw bad('a reply is no HTTP/1.1');
  return new Reply(status, new Headers(text));
}

// NaN for a body that comes in chunks, or until the connection ends.
function lengthOf(reply) {
  if (reply.status === 204 || reply.status === 304) return 0;
  const length = reply.headers.get('content-length');
  if (length === undefined || isChunked(reply)) return NaN;
  if (!/^\d{1,15}$/.test(length)) throw bad('a reply has no valid length');
  return Number(length);
}

function isChunked(reply) {
  const encoding = reply.headers.get('transfer-encoding');
  return encoding !== undefined && /\bchunked\b/i.test(encoding);
}

function bad(what) {
  return Object.assign(new Error(what), { code: 'EPROTO', protocol: true });
}

module.exports = { Reader };
