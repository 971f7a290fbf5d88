'use strict';
// What an async handler may return.
const give = (make) => async () => make();
exports.echo = async (event) => event;
exports.text = give(() => 'text "quoted" \u2028 \u00fc \u{1f600}');
exports.emptyText = give(() => '');
exports.number = give(() => 12.5);
exports.zero = give(() => 0);
exports.minusZero = give(() => -0);
exports.notANumber = give(() => NaN);
exports.infinity = give(() => Infinity);
exports.true = give(() => true);
exports.false = give(() => false);
exports.null = give(() => null);
exports.undefined = give(() => undefined);
exports.array = give(() => [1, undefined, () => 1, [null]]);
exports.object = give(() => ({ a: 1, b: undefined, c: () => 1, d: { e: [] }, [Symbol('s')]: 1 }));
exports.date = give(() => new Date(0));
exports.buffer = give(() => Buffer.from('bytes'));
exports.map = give(() => new Map([[1, 2]]));
exports.error = give(() => new RangeError('returned, not thrown'));
exports.boxed = give(() => [Object('text'), Object(1), Object(false)]);
exports.withToJson = give(() => ({ toJSON: () => ({ told: 'otherwise' }) }));
exports.loneSurrogate = give(() => 'a\ud800b');
exports.nullByte = give(() => 'a\u0000b');
exports.function = give(() => () => 1);
exports.symbol = give(() => Symbol('s'));
exports.bigInt = give(() => ({ n: BigInt(1) }));
exports.cyclic = give(() => {
  const one = {};
  one.one = one;
  return one;
});
exports.throwingToJson = give(() => ({
  toJSON() {
    throw new Error('no JSON of me');
  },
}));
exports.throwingGetter = give(() => ({
  get a() {
    throw new Error('no a');
  },
}));
exports.undefinedToJson = give(() => ({ toJSON: () => undefined }));
exports.huge = async (event) => 'x'.repeat(event.size);
exports.hugeUnicode = async (event) => '\u00fc\u{1f600}'.repeat(event.size);
exports.promiseOfPromise = () => Promise.resolve(Promise.resolve({ nested: true }));
exports.proxy = give(() => new Proxy({ a: 1 }, { get: (target, key) => (key === 'then' ? undefined : target[key]) }));
exports.length = async (event) => ({ text: event.text.length, first: event.text.slice(0, 3) });
