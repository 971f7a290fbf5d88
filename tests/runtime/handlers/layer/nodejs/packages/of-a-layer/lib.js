exports.from = 'a layer';
