require('not-there');
exports.handler = async () => 'never';
