export const handler = async () => 'the file';
