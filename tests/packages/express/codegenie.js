exports.handler = require('@codegenie/serverless-express')({ app: require('./app.js') });
