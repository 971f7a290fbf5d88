// Not strict: with, and a global by mistake.
made = 1;
exports.handler = function (event, context) {
  return Promise.resolve({ made: global.made, that: this === undefined });
};
