import { Code, ConnectError } from "@connectrpc/connect";

/**
 * unaryFetch returns a fetch whose error is "unavailable" if the connection fails, also while the body of a unary response is read. The caller cannot
 * know then whether the server carried the call out.
 */
export function unaryFetch(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return async (input, init) => {
    try {
      const response = await fetch(input, init);
      if (response.headers.get("Content-Type")?.startsWith("application/connect+")) {
        return response; // a stream
      }
      const { status, statusText, headers } = response;
      return new Response(await response.arrayBuffer(), { status, statusText, headers });
    } catch (cause) {
      if (init?.signal?.aborted) {
        throw cause;
      }
      throw new ConnectError("the connection failed", Code.Unavailable, undefined, undefined, cause);
    }
  };
}
