exports.handler = async () => 'of both.cjs';
