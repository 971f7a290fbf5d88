export const handler = async () => 'of two.mjs';
