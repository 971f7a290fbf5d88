export const handler = async () => ({ kind: 'mjs', module: typeof module, url: import.meta.url.split('/').pop() });
export default { handler: async () => 'default', only: async () => 'only in default' };
