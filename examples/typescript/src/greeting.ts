export const greeting = (name: string | null | undefined): string => `Hello, ${name?.trim() || 'stranger'}`;
