class ConfigError extends Error {
  constructor() {
    super('a variable is missing');
    this.name = 'ConfigError';
    this.variable = 'TABLE';
  }
}
throw new ConfigError();
