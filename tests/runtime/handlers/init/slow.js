const end = Date.now() + 80;
while (Date.now() < end);
exports.handler = async () => 'fine';
