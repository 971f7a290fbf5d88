// As esbuild writes a bundle of ESM format for Node.js, with the usual banner for require.
import { createRequire } from 'module';
const require = createRequire(import.meta.url);
var __defProp = Object.defineProperty;
var handler = async (event) => ({ bundled: event, os: typeof require('os').EOL });
__defProp(handler, 'name', { value: 'handler', configurable: true });
export { handler };
