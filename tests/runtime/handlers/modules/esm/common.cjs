exports.handler = async () => 'cjs inside type module';
