import { notExported } from './empty.mjs';
export const handler = async () => notExported;
