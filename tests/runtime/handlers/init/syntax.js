exports.handler = ( => {};
