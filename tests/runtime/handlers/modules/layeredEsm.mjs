import layered from 'of-a-layer';
export const handler = async () => layered.from;
