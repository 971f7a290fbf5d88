'use strict';
const ms = require('ms'); // from the layer

exports.handler = async (event) => ({ node: process.version, ms: ms(event.span), from: require.resolve('ms') });
