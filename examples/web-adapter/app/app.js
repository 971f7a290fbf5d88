'use strict';
// A web server. It does not know Lambda: the adapter turns each event into a request to this port.
const express = require('express');

const app = express();
app.get('/', (request, response) => {
  response.json({ node: process.version });
});

// The lines arrive one by one, because the function's URL and the adapter stream responses (template.yaml).
app.get('/stream', async (request, response) => {
  response.type('text/plain');
  for (let line = 1; line <= 3; line += 1) {
    response.write(`line ${line}\n`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  response.end();
});

app.listen(process.env.AWS_LWA_PORT || 8080);
