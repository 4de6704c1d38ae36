import { Code, ConnectError } from "@connectrpc/connect";

/**
 * connectionFetch returns a fetch whose error is "unavailable" if the connection fails, also while the body of a unary response is read. The caller cannot
 * know then whether the server carried the call out. The signal of a request ends the body of a stream for sure.
 */
export function connectionFetch(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    try {
      const response = await fetch(input, init);
      const { status, statusText, headers } = response;
      const isStream = headers.get("Content-Type")?.startsWith("application/connect+");
      const body = isStream ? abortable(response.body, init?.signal) : await response.arrayBuffer();
      return new Response(body, { status, statusText, headers });
    } catch (cause) {
      if (init?.signal?.aborted) {
        throw cause;
      }
      throw new ConnectError("the connection failed", Code.Unavailable, undefined, undefined, cause);
    }
  };
}

/** abortable returns a body that its signal cancels. The fetch of Node 20 forgets the signal of a response once the garbage collector has run. */
function abortable(body: ReadableStream<Uint8Array> | null, signal: AbortSignal | null | undefined): ReadableStream<Uint8Array> | null {
  if (!body || !signal) {
    return body;
  }
  const reader = body.getReader();
  const cancel = () => void reader.cancel().catch(() => undefined); // a body that has failed has ended
  signal.addEventListener("abort", cancel);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) {
          signal.removeEventListener("abort", cancel);
          controller.close();
        } else {
          controller.enqueue(value);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
