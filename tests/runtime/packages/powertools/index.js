'use strict';
const { Logger } = require('@aws-lambda-powertools/logger');
const { injectLambdaContext } = require('@aws-lambda-powertools/logger/middleware');
const { Metrics, MetricUnit } = require('@aws-lambda-powertools/metrics');
const { logMetrics } = require('@aws-lambda-powertools/metrics/middleware');
const { Tracer } = require('@aws-lambda-powertools/tracer');
const { captureLambdaHandler } = require('@aws-lambda-powertools/tracer/middleware');

const logger = new Logger();
const metrics = new Metrics({ namespace: 'orders' });
const tracer = new Tracer();

module.exports.load = import('@middy/core').then(({ default: middy }) => ({
  handler: middy(async (event) => {
    logger.info('ordered', { quantity: event.quantity });
    metrics.addMetric('ordered', MetricUnit.Count, event.quantity);
    if (event.fail) throw new RangeError('out of stock');
    return { total: event.quantity };
  })
    .use(injectLambdaContext(logger))
    .use(logMetrics(metrics))
    .use(captureLambdaHandler(tracer)),
}));
module.exports = module.exports.load;
