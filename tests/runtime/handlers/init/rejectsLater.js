setTimeout(() => Promise.reject(new Error('after loading')), 150);
exports.handler = async () => new Promise((resolve) => setTimeout(resolve, 300, 'late'));
