'use strict';
// The same function, wrapped as New Relic documents it.
const newrelic = require('newrelic');
const orders = require('./orders.js');

exports.handler = newrelic.setLambdaHandler(orders.handler);
exports.called = newrelic.setLambdaHandler(orders.called);
