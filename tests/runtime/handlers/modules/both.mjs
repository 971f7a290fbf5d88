export const handler = async () => 'of both.mjs';
