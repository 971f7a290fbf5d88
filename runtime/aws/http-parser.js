'use strict';
// Parses the HTTP/1.1 replies of the Runtime API, in whatever pieces they arrive.

const HEAD_END = Buffer.from('\r\n\r\n');
const MAX_HEAD_BYTES = 1 << 20;
const MAX_REUSED_BYTES = 1 << 20;

// States of a chunked body.
const SIZE = 0;
const DATA = 1;
const DATA_END = 2;
const TRAILERS = 3;

class Parser {
  // Calls connection.onReply(reply, isLast) for each reply, and connection.close(error) for what is not HTTP.
  constructor(connection) {
    this.connection = connection;
    this.partialHead = null;
    this.reply = null; // the reply whose body is incomplete
    this.body = null; // of known length, filled so far with `filled` bytes
    this.filled = 0;
    this.reused = null; // the buffer for bodies, kept: to allocate memory for each large event takes longer than to read it
    this.chunks = null; // a chunked body, or one that ends with the connection
  }

  parse(bytes, length) {
    if (this.body !== null && this.fillBody(bytes, length)) return;
    try {
      const start = this.reply === null && this.partialHead === null ? this.parseComplete(bytes, length) : 0;
      if (start < length && this.connection.open) this.parsePartial(bytes.slice(start, length));
    } catch (error) {
      if (!error.protocol) throw error;
      this.connection.close(error);
    }
  }

  // Nearly every reply arrives whole in one read; this path creates no Buffer. Returns where it stopped.
  parseComplete(bytes, length) {
    let at = 0;
    while (at < length && this.connection.open && this.connection.waiting.length > 0) {
      const end = bytes.indexOf(HEAD_END, at);
      if (end < 0 || end + 4 > length) break;
      const reply = parseHead(bytes.utf8Slice(at, end));
      const next = end + 4 + (reply.status < 200 ? NaN : bodyLength(reply));
      if (!(next <= length)) break;
      at = next;
      reply.setBody(bytes, end + 4, next);
      this.emit(reply);
    }
    return at;
  }

  // Returns true if all bytes belonged to the body of known length.
  fillBody(bytes, length) {
    const missing = this.body.length - this.filled;
    if (length > missing) return false;
    bytes.copy(this.body, this.filled, 0, length);
    this.filled += length;
    if (length === missing) this.parsePartial(bytes.slice(0, 0));
    return true;
  }

  parsePartial(bytes) {
    let data = this.partialHead === null ? bytes : Buffer.concat([this.partialHead, bytes]);
    this.partialHead = null;
    while (this.connection.open) {
      if (this.reply === null) {
        const end = data.indexOf(HEAD_END);
        if (end < 0) {
          if (data.length > MAX_HEAD_BYTES) throw protocolError('the head of a reply has no end');
          if (data.length > 0) this.partialHead = Buffer.from(data);
          return;
        }
        const reply = parseHead(data.utf8Slice(0, end));
        data = data.slice(end + 4);
        if (reply.status < 200) continue; // 100 Continue and the like
        if (this.connection.waiting.length === 0) throw protocolError('a reply came without a request');
        this.startBody(reply);
      }
      data = this.parseBody(data);
      if (data === null) return;
    }
  }

  startBody(reply) {
    this.reply = reply;
    this.body = this.chunks = null;
    reply.length = bodyLength(reply);
    if (!Number.isNaN(reply.length)) return;
    reply.endsWithConnection = !isChunked(reply);
    this.chunks = { parts: [], left: 0, state: SIZE, line: '' };
  }

  // Returns the bytes after the body, or null if the body is incomplete.
  parseBody(data) {
    const reply = this.reply;
    if (reply.endsWithConnection) {
      if (data.length > 0) this.chunks.parts.push(Buffer.from(data));
      return null;
    }
    if (this.chunks !== null) return this.parseChunks(data);
    if (this.body === null) {
      if (data.length >= reply.length) {
        this.endBody(data.slice(0, reply.length));
        return data.slice(reply.length);
      }
      this.body = this.allocate(reply.length);
      this.filled = 0;
    }
    const missing = this.body.length - this.filled;
    data.copy(this.body, this.filled, 0, Math.min(missing, data.length));
    if (data.length < missing) {
      this.filled += data.length;
      return null;
    }
    const body = this.body;
    this.body = null;
    this.endBody(body);
    return data.slice(missing);
  }

  allocate(length) {
    if (length > MAX_REUSED_BYTES) return Buffer.allocUnsafeSlow(length);
    if (this.reused === null || this.reused.length < length) this.reused = Buffer.allocUnsafeSlow(length);
    return this.reused.slice(0, length);
  }

  parseChunks(data) {
    const chunks = this.chunks;
    let at = 0;
    while (at < data.length) {
      if (chunks.state === DATA) {
        const size = Math.min(chunks.left, data.length - at);
        chunks.parts.push(Buffer.from(data.slice(at, at + size)));
        at += size;
        chunks.left -= size;
        if (chunks.left === 0) chunks.state = DATA_END;
        continue;
      }
      const end = data.indexOf(10, at);
      chunks.line += data.latin1Slice(at, end < 0 ? data.length : end);
      if (end < 0) {
        if (chunks.line.length > MAX_HEAD_BYTES) throw protocolError('a line of a chunked reply has no end');
        return null;
      }
      at = end + 1;
      const line = chunks.line.trim();
      chunks.line = '';
      if (chunks.state === SIZE) {
        if (!/^[0-9a-f]{1,12}(\s*;.*)?$/i.test(line)) throw protocolError('a chunk of a reply has no valid size');
        chunks.left = parseInt(line, 16);
        chunks.state = chunks.left === 0 ? TRAILERS : DATA;
      } else if (chunks.state === DATA_END) {
        if (line !== '') throw protocolError('a chunk of a reply is longer than its size');
        chunks.state = SIZE;
      } else if (line === '') {
        this.chunks = null;
        this.endBody(chunks.parts.length === 1 ? chunks.parts[0] : Buffer.concat(chunks.parts));
        return data.slice(at);
      }
    }
    return null;
  }

  endBody(body) {
    const reply = this.reply;
    this.reply = null;
    reply.setBody(body);
    this.emit(reply);
  }

  // The connection has ended. Returns the reply that this completes, or null.
  endOfInput() {
    if (this.reply === null || !this.reply.endsWithConnection) return null;
    this.reply.setBody(Buffer.concat(this.chunks.parts));
    return this.reply;
  }

  emit(reply) {
    const connection = reply.headers.get('connection');
    this.connection.onReply(reply, connection !== undefined && /\bclose\b/i.test(connection));
  }
}

class Reply {
  constructor(status, headers) {
    this.status = status;
    this.headers = headers;
    this.length = 0;
    this.endsWithConnection = false;
    this.bytes = null;
    this.start = 0;
    this.end = 0;
  }

  setBody(bytes, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  text() {
    return this.bytes.utf8Slice(this.start, this.end);
  }

  // Why the API did not do what was asked.
  errorText() {
    return `${this.status} ${this.text().slice(0, 1000).trim()}`.trim();
  }
}

const searchTexts = Object.create(null);

// Searches the text of the head, because only a few of its dozen headers are read.
class Headers {
  constructor(text) {
    this.text = text;
    this.lowerCase = text.toLowerCase();
    // Some letters become two in lower case, which would shift all positions.
    if (this.lowerCase.length !== text.length) this.lowerCase = text.replace(/[A-Z]+/g, (name) => name.toLowerCase());
  }

  get(name) {
    const searchText = searchTexts[name] || (searchTexts[name] = `\r\n${name}:`);
    const at = this.lowerCase.indexOf(searchText);
    if (at < 0) return undefined;
    const end = this.text.indexOf('\r\n', at + searchText.length);
    return this.text.slice(at + searchText.length, end < 0 ? this.text.length : end).trim();
  }
}

function parseHead(text) {
  const status = Number(text.slice(9, 12));
  if (!text.startsWith('HTTP/1.') || !(status >= 100)) throw protocolError('a reply is not HTTP/1.1');
  return new Reply(status, new Headers(text));
}

// Returns NaN for a body that is chunked or ends with the connection.
function bodyLength(reply) {
  if (reply.status === 204 || reply.status === 304) return 0;
  const length = reply.headers.get('content-length');
  if (length === undefined || isChunked(reply)) return NaN;
  if (!/^\d{1,15}$/.test(length)) throw protocolError('a reply has no valid length');
  return Number(length);
}

function isChunked(reply) {
  const encoding = reply.headers.get('transfer-encoding');
  return encoding !== undefined && /\bchunked\b/i.test(encoding);
}

function protocolError(message) {
  return Object.assign(new Error(message), { code: 'EPROTO', protocol: true });
}

module.exports = { Parser };
