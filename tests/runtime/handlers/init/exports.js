exports.number = 1;
exports.null = null;
exports.object = {};
exports.text = 'handler';
exports.nested = { handler: async () => 'nested', deeper: { handler: async () => 'deeper' } };
exports.function = async () => 'function';
exports.function.property = async () => 'a function of a function';
exports['with-dash'] = async () => 'dash';
exports['\u00fcber'] = async () => 'unicode';
exports.class = class {
  static async handler() {
    return 'static';
  }
};
