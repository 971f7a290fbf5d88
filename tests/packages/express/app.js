'use strict';
const express = require('express');

const app = express();
app.use(express.json());
app.get('/items/:id', (request, response) => response.json({ id: request.params.id, size: request.query.size }));
app.post('/items', (request, response) => response.status(201).set('x-items', '1').json(request.body));
app.get('/fails', () => {
  throw new Error('no such route');
});
app.use((error, request, response, next) => {
  if (response.headersSent) next(error);
  else response.status(500).json({ error: error.message });
});

module.exports = app;
