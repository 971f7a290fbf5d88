"use strict";
// As tsc writes `export const handler` and `export default`.
Object.defineProperty(exports, "__esModule", { value: true });
exports.handler = void 0;
const lib_1 = __importDefault(require("./lib/common.cjs"));
function __importDefault(mod) { return (mod && mod.__esModule) ? mod : { "default": mod }; }
const handler = (event) => new Promise((resolve) => resolve({ lib: lib_1.default, event }));
exports.handler = handler;
exports.default = { other: handler };
