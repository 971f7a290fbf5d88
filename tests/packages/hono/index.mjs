import { Hono } from 'hono';
import { handle, streamHandle } from 'hono/aws-lambda';
import { streamText } from 'hono/streaming';

const app = new Hono();
app.get('/items/:id', (c) => c.json({ id: c.req.param('id'), size: c.req.query('size') }));
app.post('/items', async (c) => c.json(await c.req.json(), 201, { 'x-items': '1' }));
app.get('/fails', () => {
  throw new Error('no such route');
});
app.get('/streams', (c) =>
  streamText(c, async (stream) => {
    for (const word of ['one ', 'two ', 'three']) {
      await stream.write(word);
      await stream.sleep(20);
    }
  }),
);
app.onError((error, c) => c.json({ error: error.message }, 500));

export const handler = handle(app);
export const streaming = streamHandle(app);
