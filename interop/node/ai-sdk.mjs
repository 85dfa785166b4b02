// The AI SDK: npm packages ai and @ai-sdk/openai-compatible.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, streamText } from 'ai';
import { cut, drive } from './driver.mjs';

await drive(
  async (call, fetch) => {
    const provider = createOpenAICompatible({ name: 'example', apiKey: call.key, baseURL: call.base + call.prefix, fetch });
    const params = { model: provider(call.model), prompt: 'Hello', maxOutputTokens: call.maxTokens, maxRetries: 0 };
    if (!call.stream) {
      const { text, response } = await generateText(params);
      return { text, requestId: response.headers['x-request-id'] };
    }
    // Errors are neither thrown nor in the text: they are parts of the stream, and go to onError.
    const result = streamText({ ...params, onError() {} });
    let text = '';
    let finished = false;
    for await (const part of result.fullStream) {
      if (part.type === 'error') throw part.error;
      if (part.type === 'text-delta') text += part.text;
      finished ||= part.type === 'finish' && part.finishReason === 'stop';
    }
    if (!finished) throw cut('a finish reason');
    return { text, requestId: (await result.response).headers['x-request-id'] };
  },
  // data is what the body holds when it has the shape that the provider package wants; without it the message is the status text.
  (error) =>
    APICallError.isInstance(error) && error.statusCode !== undefined
      ? {
          status: error.statusCode,
          message: error.message,
          type: error.data?.error.type,
          code: error.data?.error.code,
          param: error.data?.error.param,
          requestId: error.responseHeaders?.['x-request-id'],
        }
      : undefined,
);
