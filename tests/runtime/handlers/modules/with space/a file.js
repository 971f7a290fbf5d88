exports.handler = async () => 'with space';
