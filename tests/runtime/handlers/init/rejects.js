Promise.reject(new Error('while loading'));
exports.handler = async () => 'never';
