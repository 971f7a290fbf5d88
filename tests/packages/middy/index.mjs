import middy from '@middy/core';
import httpErrorHandler from '@middy/http-error-handler';
import httpJsonBodyParser from '@middy/http-json-body-parser';

export const handler = middy()
  .use(httpJsonBodyParser())
  .use(httpErrorHandler({ logger: false }))
  .handler(async (event) => ({ statusCode: 201, body: JSON.stringify(event.body) }));
