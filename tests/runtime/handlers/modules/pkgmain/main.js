exports.handler = async () => 'main of a package';
