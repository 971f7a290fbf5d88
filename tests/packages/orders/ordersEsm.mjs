import orders from './orders.js';

export const handler = async (event) => orders.handler(event);
