interface Event { name: string }
export const handler = async (event: Event): Promise<string> => `typed, ${typeof event}`;
