// Holds so many MB of small objects, then makes garbage, as a function does that has cached much; prints V8's limit first.
'use strict';
const wanted = Number(process.argv[2]) * 1048576;
const v8 = require('v8');
console.log(Math.round(v8.getHeapStatistics().heap_size_limit / 1048576));
const held = [];
while (v8.getHeapStatistics().used_heap_size < wanted) {
  const part = [];
  for (let index = 0; index < 10000; index += 1) part.push({ index, text: `entry ${index} of ${held.length}` });
  held.push(part);
}
for (let turn = 0; turn < 3000; turn += 1) JSON.parse(JSON.stringify(held[turn % held.length].slice(0, 1000)));
console.log('survived');
