'use strict';
// Lambda sends SIGTERM before it shuts down the environment of a function with extensions. Without a listener of the
// function the process ends at once. With one, it ends when the work of the listener is done, or at the latest shortly
// before Lambda would kill it.

const LIMIT_MS = 1950; // Lambda kills the process after 2,000 ms, or after 500 ms if no extension is external
const startTimer = setTimeout; // the function may replace the global

// Called once, when the function has added a listener.
function limit(api) {
  process.on('SIGTERM', () => {
    api.unref(); // the wait for the next invocation must not keep the process alive
    startTimer(() => process.exit(0), Number(process.env.NODELAYER_SHUTDOWN_MS) || LIMIT_MS).unref();
  });
}

module.exports = { limit };
