export const handler = awslambda.streamifyResponse(async (event, to) => {
  to.end('from an ES module');
});
export default { handler };
