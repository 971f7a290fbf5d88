console.log('while loading');
console.error(new Error('only logged').message);
exports.handler = async () => {
  console.log('while working');
  return 'fine';
};
