require('./syntax.js');
exports.handler = async () => 'never';
