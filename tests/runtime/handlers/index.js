exports.handler = async () => 'index';
exports.default = async () => 'default';
