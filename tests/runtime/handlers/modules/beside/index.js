exports.handler = async () => 'the folder';
