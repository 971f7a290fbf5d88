exports.handler = async () => 'never';
