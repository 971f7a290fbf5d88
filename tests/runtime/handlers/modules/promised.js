module.exports = Promise.resolve({ handler: async () => 'promised exports' });
