'use strict';
// The context object (https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html), from the headers of an invocation.

// Read once, because each access to process.env is a call into C++.
const env = process.env;
const functionVersion = env.AWS_LAMBDA_FUNCTION_VERSION;
const functionName = env.AWS_LAMBDA_FUNCTION_NAME;
const memoryLimitInMB = env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
const logGroupName = env.AWS_LAMBDA_LOG_GROUP_NAME;
const logStreamName = env.AWS_LAMBDA_LOG_STREAM_NAME;

// Throws if a header that should be JSON is not.
function create(headers) {
  const deadline = Number(headers.get('lambda-runtime-deadline-ms'));
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion,
    functionName,
    memoryLimitInMB,
    logGroupName,
    logStreamName,
    clientContext: parseJson(headers.get('lambda-runtime-client-context'), 'client context'),
    identity: parseJson(headers.get('lambda-runtime-cognito-identity'), 'Cognito identity'),
    invokedFunctionArn: headers.get('lambda-runtime-invoked-function-arn'),
    awsRequestId: headers.get('lambda-runtime-aws-request-id'),
    tenantId: headers.get('lambda-runtime-aws-tenant-id') || undefined,
    xRayTraceId: headers.get('lambda-runtime-trace-id') || undefined,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

function parseJson(text, name) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`the ${name} of this invocation is not JSON: ${error.message}`);
  }
}

module.exports = { create };
