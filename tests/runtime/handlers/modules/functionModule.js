module.exports = async () => 'the module itself';
module.exports.handler = async () => 'its property';
