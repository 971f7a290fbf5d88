import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { greeting } from './greeting';

interface Question {
  name?: string | null;
  fail?: string;
}
interface Answer {
  greeting: string;
  node: string;
}

const isHttp = (event: Question | APIGatewayProxyEventV2): event is APIGatewayProxyEventV2 =>
  (event as APIGatewayProxyEventV2).requestContext?.http !== undefined;

export const handler = async (
  event: Question | APIGatewayProxyEventV2,
  _context: Context,
): Promise<Answer | APIGatewayProxyStructuredResultV2> => {
  const question: Question = isHttp(event) ? (event.queryStringParameters ?? {}) : event;
  if (question.fail) throw new Error(question.fail);
  const answer = { greeting: greeting(question.name), node: process.version };
  return isHttp(event)
    ? { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(answer) }
    : answer;
};
