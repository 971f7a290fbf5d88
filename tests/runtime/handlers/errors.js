'use strict';
// What a handler may throw or reject with.
const reject = (make) => async () => {
  throw make();
};
const change = (error, properties) => Object.assign(error, properties);
exports.plain = reject(() => new Error('plain'));
exports.empty = reject(() => new Error());
exports.type = reject(() => new TypeError('type'));
exports.reference = async () => notThere; // eslint-disable-line no-undef
class OwnError extends Error {
  constructor(message) {
    super(message);
    this.name = 'OwnError';
    this.code = 'E_OWN';
    this.details = { at: [1, 2] };
  }
}
class QuietError extends Error {}
exports.own = reject(() => new OwnError('with properties'));
exports.unnamedClass = reject(() => new QuietError('the class alone says its name'));
exports.named = reject(() => change(new Error('renamed'), { name: 'Renamed' }));
exports.emptyName = reject(() => change(new Error('of no name'), { name: '' }));
exports.numberName = reject(() => change(new Error('a number for a name'), { name: 7 }));
exports.undefinedName = reject(() => change(new Error('undefined for a name'), { name: undefined }));
exports.objectMessage = reject(() => change(new Error('x'), { message: { a: 1 } }));
exports.undefinedMessage = reject(() => change(new Error('x'), { message: undefined }));
exports.noStack = reject(() => {
  const error = new Error('no stack');
  delete error.stack;
  return change(error, { stack: undefined });
});
exports.stackIsArray = reject(() => change(new Error('stack of another kind'), { stack: ['a', 'b'] }));
exports.withCode = reject(() => change(new Error('with a code'), { code: 'E_CODE', errno: -2, path: '/somewhere' }));
exports.withCause = reject(() => change(new Error('outer'), { cause: new TypeError('inner') }));
exports.causeOption = reject(() => new Error('outer', { cause: new TypeError('inner') }));
exports.aggregate = reject(() => new AggregateError([new Error('one'), new Error('two')], 'both'));
exports.system = async () => require('fs').promises.readFile('/there/is/no/such/file');
exports.json = async () => JSON.parse('');
exports.text = reject(() => 'only text');
exports.emptyText = reject(() => '');
exports.number = reject(() => 42);
exports.true = reject(() => true);
exports.null = reject(() => null);
exports.undefined = reject(() => undefined);
exports.object = reject(() => ({ a: 1, b: { c: 2 } }));
exports.array = reject(() => [1, 2]);
exports.symbol = reject(() => Symbol('s'));
exports.bigInt = reject(() => BigInt(9));
exports.function = reject(() => function thrown() {});
exports.noPrototype = reject(() => Object.create(null));
exports.withToString = reject(() => ({ toString: () => 'in its own words' }));
exports.throwingToString = reject(() => ({
  toString() {
    throw new Error('no words');
  },
}));
exports.errorLike = reject(() => ({ name: 'ErrorLike', message: 'almost', stack: 'ErrorLike: almost\n    at nowhere' }));
exports.throwingMessage = reject(() =>
  Object.defineProperty(new Error('x'), 'message', {
    get() {
      throw new Error('no message');
    },
  }));
exports.throwingStack = reject(() =>
  Object.defineProperty(new Error('kept'), 'stack', {
    get() {
      throw new Error('no stack');
    },
  }));
exports.throwingExtra = reject(() =>
  Object.defineProperty(new Error('kept'), 'extra', {
    enumerable: true,
    get() {
      throw new Error('no extra');
    },
  }));
exports.del = reject(() => change(new Error('a\u007fb'), { name: 'D\u007fL' }));
exports.control = reject(() => new Error('bell \u0007 escape \u001b null \u0000 end'));
exports.lines = reject(() => new Error('first\nsecond\r\nthird'));
exports.unicode = reject(() => new Error('\u00fc \u{1f600} \ud800 \u2028'));
exports.unicodeName = reject(() => change(new Error('x'), { name: 'F\u00e4hler\u{1f600}' }));
exports.newlineName = reject(() => change(new Error('x'), { name: 'Two\r\nX-Injected: yes' }));
exports.huge = reject(() => new Error('x'.repeat(50000)));
exports.deep = async () => {
  const deeper = (left) => {
    if (left === 0) throw new Error('from below');
    return deeper(left - 1);
  };
  return deeper(3);
};
exports.overflow = async () => {
  const forever = () => forever() + 1;
  return forever();
};
exports.realm = reject(() => require('vm').runInNewContext('new TypeError("from elsewhere")'));
exports.cyclic = reject(() => {
  const error = new Error('goes round');
  error.self = error;
  return error;
});
exports.big = reject(() => change(new Error('with a big integer'), { amount: BigInt(5) }));
exports.rejectedPromise = () => Promise.reject(new Error('rejected'));
exports.rejectedNothing = () => Promise.reject();
exports.thrownSync = () => {
  throw new Error('sync');
};
exports.thrownTextSync = () => {
  throw 'sync text';
};
exports.thrownNullSync = () => {
  throw null;
};
exports.thrownUndefinedSync = () => {
  throw undefined;
};
exports.afterAwait = async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  throw new Error('after await');
};
exports.extended = reject(() => {
  class HttpError extends OwnError {
    get statusCode() {
      return 404;
    }
  }
  return new HttpError('twice removed');
});
exports.frozen = reject(() => Object.freeze(new Error('frozen')));
exports.errorPrototype = reject(() => Object.create(Error.prototype));
exports.proxied = reject(() => new Proxy(new Error('behind a proxy'), {}));
exports.domException = async () => {
  const controller = new AbortController();
  controller.abort();
  controller.signal.throwIfAborted();
};
exports.sometimes = async (event) => {
  if (event.fail) throw new Error(`number ${event.fail}`);
  return 'fine';
};
