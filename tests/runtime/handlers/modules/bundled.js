"use strict";
// As esbuild writes a bundle of CommonJS format: getters on a namespace that becomes module.exports.
var __defProp = Object.defineProperty;
var __export = (target, all) => {
  for (var name in all) __defProp(target, name, { get: all[name], enumerable: true });
};
var __toCommonJS = (mod) => {
  const out = __defProp({}, "__esModule", { value: true });
  for (const key of Object.getOwnPropertyNames(mod)) __defProp(out, key, { get: () => mod[key], enumerable: true });
  return out;
};
var source_exports = {};
__export(source_exports, { handler: () => handler, default: () => source_default });
module.exports = __toCommonJS(source_exports);
var handler = async (event) => ({ bundled: event });
var source_default = handler;
0 && (module.exports = { handler });
