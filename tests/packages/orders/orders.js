'use strict';
// One function for all agents: asks a price service, and fails if the event says so.
const http = require('http');

function price(address) {
  return new Promise((resolve, reject) => {
    const request = http.get(`${address}/price`, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve(JSON.parse(text).price)).on('error', reject);
    });
    request.on('error', reject);
  });
}

async function order(event) {
  const total = event.quantity * (await price(event.prices));
  if (event.fail) throw new RangeError('out of stock');
  return { total };
}

exports.handler = order;
exports.called = (event, context, callback) => {
  order(event).then((response) => callback(null, response), callback);
};
