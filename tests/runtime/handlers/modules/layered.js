exports.handler = async () => require('of-a-layer').from;
