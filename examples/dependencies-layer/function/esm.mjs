import ms from 'ms'; // from the layer

export const handler = async (event) => ({ node: process.version, ms: ms(event.span) });
