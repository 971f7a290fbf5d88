const handler = async () => 'never';
handler[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'duplex';
exports.handler = handler;
