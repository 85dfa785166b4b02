// The client of the npm package openai.

import OpenAI from 'openai';
import { cut, drive } from './driver.mjs';

await drive(
  async (call, fetch) => {
    const client = new OpenAI({ apiKey: call.key, baseURL: call.base + call.prefix, maxRetries: 0, fetch });
    const params = { model: call.model, max_tokens: call.maxTokens, messages: [{ role: 'user', content: 'Hello' }] };
    if (!call.stream) {
      const completion = await client.chat.completions.create(params);
      return { text: completion.choices[0].message.content, requestId: completion._request_id };
    }
    const { data, request_id: requestId } = await client.chat.completions.create({ ...params, stream: true }).withResponse();
    let text = '';
    let finished = false;
    for await (const { choices } of data) {
      for (const choice of choices) {
        text += choice.delta.content ?? '';
        finished ||= Boolean(choice.finish_reason);
      }
    }
    if (!finished) throw cut('a finish reason');
    return { text, requestId };
  },
  (error) =>
    error instanceof OpenAI.APIError && error.status !== undefined
      ? {
          status: error.status,
          message: error.error?.message,
          type: error.type,
          code: error.code,
          param: error.param,
          requestId: error.requestID,
        }
      : undefined,
);
