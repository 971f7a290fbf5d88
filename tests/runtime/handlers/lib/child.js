process.send({ runs: true, descriptor: '_LAMBDA_TELEMETRY_LOG_FD' in process.env }, () => process.disconnect());
