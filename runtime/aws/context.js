'use strict';
// The context object (https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html), from one invocation's headers.

let environment = null; // read once: each look into process.env is a call into C++

// What a handler gets. Throws where a header that should be JSON is none.
function create(headers) {
  if (environment === null) environment = readEnvironment(process.env);
  const deadline = Number(headers.get('lambda-runtime-deadline-ms'));
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: environment.version,
    functionName: environment.name,
    memoryLimitInMB: environment.memory,
    logGroupName: environment.group,
    logStreamName: environment.stream,
    clientContext: parse(headers.get('lambda-runtime-client-context'), 'client context'),
    identity: parse(headers.get('lambda-runtime-cognito-identity'), 'Cognito identity'),
    invokedFunctionArn: headers.get('lambda-runtime-invoked-function-arn'),
    awsRequestId: headers.get('lambda-runtime-aws-request-id'),
    tenantId: headers.get('lambda-runtime-aws-tenant-id') || undefined,
    xRayTraceId: headers.get('lambda-runtime-trace-id') || undefined,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

function readEnvironment(env) {
  return {
    version: env.AWS_LAMBDA_FUNCTION_VERSION,
    name: env.AWS_LAMBDA_FUNCTION_NAME,
    memory: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    group: env.AWS_LAMBDA_LOG_GROUP_NAME,
    stream: env.AWS_LAMBDA_LOG_STREAM_NAME,
  };
}

function parse(text, what) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`the ${what} of this invocation is not JSON: ${error.message}`);
  }
}

module.exports = { create };
