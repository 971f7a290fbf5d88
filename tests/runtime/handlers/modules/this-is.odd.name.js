exports.handler = async () => 'never found';
