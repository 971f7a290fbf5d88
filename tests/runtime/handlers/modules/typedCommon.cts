exports.handler = async (event: unknown) => `common, ${typeof event}`;
