exports.handler = async () => ({ kind: 'js', module: typeof module, file: require('path').basename(__filename) });
