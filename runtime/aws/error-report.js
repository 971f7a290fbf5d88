'use strict';
// What an invocation gave, as the Runtime API takes it.

// Throws Runtime.JSONStringifyError.
function stringify(value) {
  if (value === undefined) return 'null';
  let text;
  let why = `a value of type ${typeof value} has no JSON`;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    why = error instanceof Error ? error.message : 'its toJSON threw';
  }
  if (text === undefined) {
    throw require('./errors.js').named('Runtime.JSONStringifyError', `Unable to stringify response body: ${why}`);
  }
  return text;
}

function refusal(why) {
  return require('./errors.js').named('Runtime.ResponseRefused', `the Runtime API refused the response: ${why}`);
}

// An error for Api.fail and Api.failInit.
function report(thrown) {
  const errors = require('./errors.js');
  const description = errors.describe(thrown);
  return { description, type: errors.type(description), cause: require('./xray-error-cause.js').cause(thrown) };
}

function rejection(reason) {
  const named = require('./errors.js').named;
  let text;
  try {
    text = String(reason);
  } catch (error) {
    text = 'something that cannot be read';
  }
  const error = named('Runtime.UnhandledPromiseRejection', text);
  error.reason = reason;
  return error;
}

module.exports = { stringify, refusal, report, rejection };
