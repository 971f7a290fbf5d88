export default 'named'; export const fromEsm = 'esm';
