import { Logger } from '@aws-lambda-powertools/logger';
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { logMetrics } from '@aws-lambda-powertools/metrics/middleware';
import { Tracer } from '@aws-lambda-powertools/tracer';
import { captureLambdaHandler } from '@aws-lambda-powertools/tracer/middleware';
import middy from '@middy/core';

const logger = new Logger();
const metrics = new Metrics({ namespace: 'orders' });
const tracer = new Tracer();

export const handler = middy(async (event) => {
  logger.info('order', { quantity: event.quantity });
  metrics.addMetric('ordered', MetricUnit.Count, event.quantity);
  if (event.fail) throw new RangeError('out of stock');
  return { total: event.quantity };
})
  .use(injectLambdaContext(logger))
  .use(logMetrics(metrics))
  .use(captureLambdaHandler(tracer));
