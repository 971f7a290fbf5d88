exports.name = 'sub';
