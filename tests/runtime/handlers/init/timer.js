let ticks = 0;
setInterval(() => {
  ticks += 1;
}, 5);
exports.handler = async () => {
  const before = ticks;
  await new Promise((resolve) => setTimeout(resolve, 60));
  return { ticks: ticks > before };
};
