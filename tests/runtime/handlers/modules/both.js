exports.handler = async () => 'of both.js';
