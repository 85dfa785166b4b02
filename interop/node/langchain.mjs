// ChatOpenAI of the npm package @langchain/openai.

import { ChatOpenAI } from '@langchain/openai';
import { cut, drive } from './driver.mjs';

await drive(
  async (call, fetch) => {
    const model = new ChatOpenAI({
      model: call.model,
      maxTokens: call.maxTokens,
      maxRetries: 0,
      apiKey: call.key,
      configuration: { baseURL: call.base + call.prefix, fetch },
    });
    if (!call.stream) return { text: (await model.invoke('Hello')).text };
    let text = '';
    let finished = false;
    for await (const chunk of await model.stream('Hello')) {
      text += chunk.text;
      finished ||= Boolean(chunk.response_metadata.finish_reason);
    }
    if (!finished) throw cut('a finish reason');
    return { text };
  },
  // The message is taken from the body: to the error's own, LangChain adds lines about troubleshooting.
  (error) =>
    typeof error?.status === 'number'
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
