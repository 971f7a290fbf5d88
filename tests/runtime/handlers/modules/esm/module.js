import { inner } from './inner/inner.js';
export const handler = async () => ({ kind: 'js of type module', inner, module: typeof module });
