'use strict';
// Error reports for the Runtime API, and the errors of the runtime itself. Loaded when something fails.

const errors = require('./errors.js');

// What responses.reportError and reportInitError send.
function create(thrown) {
  const description = errors.describe(thrown);
  return { description, type: errors.headerType(description), cause: require('./xray-error-cause.js').create(thrown) };
}

function responseRefused(reason) {
  return errors.named('Runtime.ResponseRefused', `the Runtime API refused the response: ${reason}`);
}

function noAnswer() {
  return errors.named(
    'Runtime.NoAnswer',
    'the handler can never answer: its promise is pending and nothing is left to run (an await on something that was lost?)'
  );
}

function unhandledRejection(reason) {
  let message;
  try {
    message = String(reason);
  } catch (_) {
    message = 'something that cannot be read';
  }
  return Object.assign(errors.named('Runtime.UnhandledPromiseRejection', message), { reason });
}

module.exports = { create, responseRefused, noAnswer, unhandledRejection };
