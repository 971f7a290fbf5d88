exports.handler = async () => 'commonjs by its package.json';
