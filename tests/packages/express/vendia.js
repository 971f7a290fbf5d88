exports.handler = require('@vendia/serverless-express')({ app: require('./app.js') });
