'use strict';
// SIGTERM, which Lambda sends before it ends the environment of a function with extensions. Without a listener of the
// function's own the process ends at once, as every process does. With one, it ends when what that listener began is
// done, and in any case before Lambda would kill it.

const MOST_MS = 450; // Lambda gives 500 ms, 2,000 where there are extensions
const later = setTimeout;

// Called once there is a listener of the function's own; gives true.
function bound(api) {
  process.on('SIGTERM', () => {
    api.unref(); // waiting for the next invocation is no reason to stay
    later(() => process.exit(0), Number(process.env.NODELAYER_SHUTDOWN_MS) || MOST_MS).unref();
  });
  return true;
}

module.exports = { bound };
