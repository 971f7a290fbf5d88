import { readFile } from 'fs/promises';
import path from 'path';
import { createRequire } from 'module';
import named, { fromEsm } from './lib/lib.mjs';
import common from './lib/common.cjs';
const require = createRequire(import.meta.url);
export const handler = async () => ({
  named, fromEsm, common, json: require('./lib/data.json'), lazy: (await import('./lib/lazy.mjs')).lazy,
  path: path.basename('/a/b'), read: (await readFile(new URL('./lib/data.json', import.meta.url), 'utf8')).trim(),
});
