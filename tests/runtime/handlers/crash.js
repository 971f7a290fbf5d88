'use strict';
// What ends the process, or tries to.
const after = (ms, act) => {
  setTimeout(act, ms);
};
exports.uncaught = () => after(5, () => {
  throw new RangeError('uncaught');
});
exports.uncaughtAsync = async () => {
  after(5, () => {
    throw new Error('uncaught');
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.uncaughtText = () => after(5, () => {
  throw 'uncaught text';
});
exports.uncaughtNull = () => after(5, () => {
  throw null;
});
exports.unhandled = async () => {
  Promise.reject(new TypeError('unhandled'));
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.unhandledText = async () => {
  Promise.reject('unhandled text');
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.unhandledNothing = async () => {
  Promise.reject();
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.unhandledObject = async () => {
  Promise.reject({ some: 'object' });
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.unhandledSync = (event, context, callback) => {
  Promise.reject(new Error('unhandled'));
  setTimeout(callback, 300, null, 'late');
};
exports.handledInTime = async () => {
  const promise = Promise.reject(new Error('caught'));
  promise.catch(() => {});
  return 'fine';
};
exports.ownListener = async () => {
  process.on('unhandledRejection', () => {});
  return { listeners: process.listenerCount('unhandledRejection') > 0 };
};
exports.uncaughtListener = async () => {
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', () => {});
  after(5, () => {
    throw new Error('taken by the function');
  });
  await new Promise((resolve) => setTimeout(resolve, 60));
  return 'survived';
};
exports.afterwards = async () => {
  after(20, () => {
    throw new Error('after the answer');
  });
  return 'answered';
};
exports.afterwardsRejected = async () => {
  after(20, () => Promise.reject(new Error('after the answer')));
  return 'answered';
};
exports.exit = async () => {
  process.exit(3);
};
exports.exitZero = async () => {
  process.exit(0);
};
exports.exitLater = async () => {
  after(5, () => process.exit(4));
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.exitAfterwards = async () => {
  after(20, () => process.exit(5));
  return 'answered';
};
exports.kill = async () => {
  process.kill(process.pid, 'SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 500));
};
exports.abort = async () => {
  process.exitCode = 9;
  return 'an exit code alone ends nothing';
};
exports.domain = (event, context, callback) => {
  const domain = require('domain').create();
  domain.on('error', (error) => callback(null, `the domain has ${error.message}`));
  domain.run(() => after(5, () => {
    throw new Error('it');
  }));
};
exports.exitHook = async () => {
  process.on('exit', (code) => console.log('exits with', code));
  process.exit(6);
};
exports.beforeExitListener = async () => {
  process.on('beforeExit', () => {});
  return { own: typeof global[Symbol.for('aws.lambda.beforeExit')] };
};
