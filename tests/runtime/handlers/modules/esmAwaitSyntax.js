export const handler = async () => ready;
const ready = await Promise.resolve('an ES module by its syntax, awaiting');
