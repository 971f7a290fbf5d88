const required = require('plain-package');
exports.handler = async () => ({ required: required.name, sub: require('plain-package/sub').name });
