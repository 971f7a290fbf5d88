exports.handler = async () => ({ kind: 'cjs' });
