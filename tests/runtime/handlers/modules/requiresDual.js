exports.handler = async () => require('dual-package').kind;
