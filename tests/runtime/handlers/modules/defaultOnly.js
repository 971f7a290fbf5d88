exports.default = { handler: async () => 'in default' };
