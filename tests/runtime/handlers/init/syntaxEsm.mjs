export const handler = ( => {};
