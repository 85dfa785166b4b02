// The client of the npm package @anthropic-ai/sdk.

import Anthropic from '@anthropic-ai/sdk';
import { cut, drive } from './driver.mjs';

await drive(
  async (call, fetch) => {
    const client = new Anthropic({ apiKey: call.key, baseURL: call.base, maxRetries: 0, fetch });
    const params = { model: call.model, max_tokens: call.maxTokens, messages: [{ role: 'user', content: 'Hello' }] };
    if (!call.stream) {
      const message = await client.messages.create(params);
      return { text: message.content.map((block) => block.text).join(''), requestId: message._request_id };
    }
    const { data, request_id: requestId } = await client.messages.create({ ...params, stream: true }).withResponse();
    let text = '';
    let stopped = false;
    for await (const event of data) {
      if (event.type === 'content_block_delta') text += event.delta.text;
      stopped ||= event.type === 'message_stop';
    }
    if (!stopped) throw cut('message_stop');
    return { text, requestId };
  },
  (error) =>
    error instanceof Anthropic.APIError && error.status !== undefined
      ? { status: error.status, message: error.apiMessage, type: error.type, code: error.errorCode, requestId: error.requestID }
      : undefined,
);
