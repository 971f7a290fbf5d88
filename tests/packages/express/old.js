'use strict';
const serverless = require('aws-serverless-express');
const server = serverless.createServer(require('./app.js'));

exports.succeeds = (event, context) => serverless.proxy(server, event, context);
exports.promises = (event, context) => serverless.proxy(server, event, context, 'PROMISE').promise;
exports.calls = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false; // its server stays open
  serverless.proxy(server, event, context, 'CALLBACK', callback);
};
