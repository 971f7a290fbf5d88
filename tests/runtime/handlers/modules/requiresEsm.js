exports.handler = async () => require('./lib/lib.mjs').fromEsm;
