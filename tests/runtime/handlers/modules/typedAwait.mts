const text: string = await Promise.resolve('awaited');
export const handler = async (): Promise<string> => text;
