exports.handler = async () => 'a package as the handler';
