exports.handler = async () => require('./broken.json');
require('./broken.json');
