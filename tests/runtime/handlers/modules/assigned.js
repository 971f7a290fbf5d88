module.exports = { handler: async () => 'assigned', nested: { handler: async () => 'nested' } };
