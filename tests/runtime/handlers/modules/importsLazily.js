exports.handler = async () => (await import('./lib/lib.mjs')).fromEsm;
