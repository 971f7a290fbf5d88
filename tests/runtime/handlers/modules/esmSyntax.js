export const handler = async () => 'an ES module by its syntax';
