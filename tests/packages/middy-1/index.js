'use strict';
const middy = require('@middy/core');
const httpErrorHandler = require('@middy/http-error-handler');
const httpJsonBodyParser = require('@middy/http-json-body-parser');

exports.handler = middy(async (event) => ({ statusCode: 201, body: JSON.stringify(event.body) }))
  .use(httpJsonBodyParser())
  .use(httpErrorHandler({ logger: false }));
