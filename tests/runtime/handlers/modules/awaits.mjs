const ready = await new Promise((resolve) => setTimeout(resolve, 20, 'ready'));
export const handler = async () => ({ ready });
