exports.handler = async () => 'of two.cjs';
