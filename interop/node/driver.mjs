// What the drivers share: calls come in as one JSON array on standard input, outcomes go out as one JSON object a line.

const callLimit = 20_000; // milliseconds; the server answers within a few

// Standard output is for outcomes alone.
console.log = console.info = console.debug = console.error;

/**
 * Makes the calls one after the other.
 *
 * send(call, fetch) makes one call with the client, whose transport is the given fetch, and returns {text, requestId}; it throws what
 * the client throws. surface(error) returns {status, message, type, code, param, requestId} as the client's user reads
 * them, or undefined when the client does not take it for an error of the API.
 */
export async function drive(send, surface) {
  let input = '';
  for await (const chunk of process.stdin) input += chunk;
  for (const call of JSON.parse(input)) {
    const wire = [];
    const outcome = { name: call.name, wire };
    try {
      Object.assign(outcome, await send(call, transport(call, wire)));
    } catch (error) {
      outcome.error = surface(error);
      if (outcome.error === undefined) outcome.failure = String(error?.stack ?? JSON.stringify(error));
    }
    process.stdout.write(JSON.stringify(outcome) + '\n');
  }
}

/** A fetch that replaces what the call asks for and keeps every response in wire. */
function transport(call, wire) {
  return async (url, init = {}) => {
    const headers = new Headers(init.headers);
    const { method, path, authorization, mediaType, body } = call.replace;
    const request = { ...init, headers, signal: AbortSignal.any([AbortSignal.timeout(callLimit), ...(init.signal ? [init.signal] : [])]) };
    if (method) request.method = method;
    if (authorization !== undefined) {
      headers.delete('authorization');
      headers.delete('x-api-key');
      if (authorization) headers.set('authorization', authorization);
    }
    if (mediaType) headers.set('content-type', mediaType);
    if (body) request.body = Buffer.from(body, 'base64');
    else if (method === 'GET') delete request.body;
    if (body || method === 'GET') headers.delete('content-length');

    const response = await fetch(path ? call.base + path : url, request);
    wire.push({
      status: response.status,
      header: Object.fromEntries(response.headers),
      body: response.status < 400 ? '' : await response.clone().text(),
    });
    return response;
  };
}

/** Fails like a client that waits for the end of a stream in vain. */
export function cut(what) {
  return new Error(`the stream ended without ${what}`);
}
