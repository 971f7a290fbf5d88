'use strict';
// HTTP/1.1 as the Runtime API speaks it, over one connection: requests go out as they come (pipelined where the caller
// sends two at once), replies come back in their order.

const connect = require('./socket.js').connect;

const HEAD_END = Buffer.from('\r\n\r\n');
const MOST_HEAD = 1 << 20;
const LARGE = 64 * 1024; // from here a body is read into place

// A reply is { status, headers, body }: names in lower case; `body` is a Buffer that is used again after the callback.
class Connection {
  constructor(host, port) {
    this.open = true;
    this.waiting = []; // a callback(error, reply) for each request without its reply
    this.rest = null; // what came and is no whole head yet
    this.reply = null; // the reply whose body is being read
    this.target = null; // a body of known length, being filled
    this.filled = 0;
    this.chunks = null; // a chunked body being read
    this.socket = connect(host, port, (bytes, length) => this.take(bytes, length), (error) => this.lost(error));
  }

  // `text` is whole requests, and there is a callback for the reply to each.
  send(text, ...onReplies) {
    if (!this.ready(onReplies)) return;
    this.socket.write(text);
  }

  // As `send`, of Buffers. Without a callback it is part of a request; `sent` is called once they are on their way.
  sendBuffers(buffers, onReply, sent) {
    if (!this.ready(onReply ? [onReply] : [])) return;
    this.socket.writeAll(buffers, sent);
  }

  ready(onReplies) {
    if (this.open) this.waiting.push(...onReplies);
    else for (const onReply of onReplies) process.nextTick(onReply, dropped(null));
    return this.open;
  }

  ref() {
    this.socket.ref();
  }

  unref() {
    this.socket.unref();
  }

  close() {
    if (!this.open) return;
    this.socket.close();
    this.lost(null);
  }

  // The other side has sent what nobody can read, or its last reply.
  abandon(why, last, reply) {
    this.socket.close();
    this.open = false;
    const waiting = this.waiting;
    this.waiting = [];
    if (last) last(null, reply);
    for (const onReply of waiting) onReply(dropped(why));
  }

  lost(error) {
    if (!this.open) return;
    this.open = false;
    const waiting = this.waiting;
    this.waiting = [];
    if (this.reply !== null && this.reply.untilEnd && error === null) {
      this.reply.body = Buffer.concat(this.chunks.parts);
      waiting.shift()(null, this.reply);
    }
    for (const onReply of waiting) onReply(dropped(error));
  }

  take(bytes, length) {
    if (this.target !== null && this.fill(bytes, length)) return;
    const came = length === bytes.length ? bytes : bytes.slice(0, length);
    try {
      this.parse(came);
    } catch (error) {
      if (!error.protocol) throw error;
      this.abandon(error);
    }
  }

  // True where all of it belonged to the body whose length is known and that is not whole yet.
  fill(bytes, length) {
    const wanted = this.target.length - this.filled;
    if (length > wanted) return false;
    if (bytes.buffer !== this.target.buffer) bytes.copy(this.target, this.filled, 0, length);
    this.filled += length;
    if (length < wanted) this.socket.readInto(this.target.slice(this.filled));
    else this.parse(bytes.slice(0, 0));
    return true;
  }

  parse(came) {
    let data = this.rest === null ? came : Buffer.concat([this.rest, came]);
    this.rest = null;
    while (this.open) {
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
        if (this.waiting.length === 0) throw bad('a reply came that nobody had asked for');
        this.expect(this.reply);
      }
      const left = this.readBody(data);
      if (left === null) return;
      data = left;
    }
  }

  expect(reply) {
    this.target = this.chunks = null;
    if (reply.status === 204 || reply.status === 304) {
      reply.length = 0;
    } else if (/\bchunked\b/i.test(reply.headers['transfer-encoding'] || '')) {
      this.chunks = { parts: [], left: 0, state: SIZE, line: '' };
    } else if (reply.headers['content-length'] !== undefined) {
      reply.length = Number(reply.headers['content-length']);
      if (!(reply.length >= 0 && Number.isSafeInteger(reply.length))) throw bad('a reply has no valid length');
    } else {
      reply.untilEnd = true;
      this.chunks = { parts: [] };
    }
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
        this.done(data.slice(0, reply.length));
        return data.slice(reply.length);
      }
      this.target = Buffer.allocUnsafeSlow(reply.length);
      this.filled = 0;
    }
    const wanted = this.target.length - this.filled;
    data.copy(this.target, this.filled, 0, Math.min(wanted, data.length));
    if (data.length < wanted) {
      this.filled += data.length;
      if (reply.length > LARGE) this.socket.readInto(this.target.slice(this.filled));
      return null;
    }
    const body = this.target;
    this.target = null;
    this.socket.readInto(null);
    this.done(body);
    return data.slice(wanted);
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
        this.done(chunks.parts.length === 1 ? chunks.parts[0] : Buffer.concat(chunks.parts));
        return data.slice(at);
      }
    }
    return null;
  }

  done(body) {
    const reply = this.reply;
    this.reply = null;
    reply.body = body;
    const onReply = this.waiting.shift();
    if (/\bclose\b/i.test(reply.headers.connection || '')) this.abandon(null, onReply, reply);
    else onReply(null, reply);
  }
}

const SIZE = 0;
const DATA = 1;
const AFTER = 2;
const TRAILERS = 3;

function readHead(text) {
  const lines = text.split('\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(lines[0]);
  if (status === null) throw bad('a reply is no HTTP/1.1');
  const headers = Object.create(null);
  for (let index = 1; index < lines.length; index += 1) {
    const line = lines[index];
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(status[1]), headers, body: null, length: 0, untilEnd: false };
}

function bad(what) {
  return Object.assign(new Error(what), { code: 'EPROTO', protocol: true });
}

function dropped(error) {
  const why = error === null ? 'the connection was closed' : error.message;
  return Object.assign(new Error(why), { code: (error && error.code) || 'ECONNRESET', dropped: true });
}

module.exports = { Connection };
