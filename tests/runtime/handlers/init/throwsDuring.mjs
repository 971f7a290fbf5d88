setTimeout(() => {
  throw new Error('during top-level await');
}, 5);
await new Promise((resolve) => setTimeout(resolve, 300));
export const handler = async () => 'never';
