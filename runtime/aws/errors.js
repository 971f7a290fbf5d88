'use strict';
// Whatever was thrown, as the Runtime API wants an error: { errorType, errorMessage, trace }.

function named(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

// Never throws: a value may be null, a string, or have getters that throw.
function describe(thrown) {
  try {
    if (thrown instanceof Error || Object.prototype.toString.call(thrown) === '[object Error]') {
      const errorType = header(thrown.name) || 'Error';
      const errorMessage = String(thrown.message);
      const stack = thrown.stack ? String(thrown.stack) : `${errorType}: ${errorMessage}`;
      return { errorType, errorMessage, trace: stack.split('\n') };
    }
    const errorMessage = typeof thrown === 'object' && thrown !== null ? JSON.stringify(thrown) : String(thrown);
    return { errorType: thrown === null ? 'null' : typeof thrown, errorMessage, trace: [errorMessage] };
  } catch (unreadable) {
    const errorMessage = 'something was thrown that cannot be read';
    return { errorType: 'Error', errorMessage, trace: [errorMessage] };
  }
}

// The type goes into an HTTP header as well, which takes visible ASCII only.
function header(name) {
  return String(name).replace(/[^\x20-\x7e]/g, '?').trim();
}

module.exports = { describe, named };
