export const handler = async () => 'never';
throw new TypeError('while importing');
