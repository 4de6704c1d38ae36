import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Connection } from "./http2_none.js";

const window = 1 << 20; // bytes

/** connect returns a connection over HTTP/2 to an address. It is opened by its first call. */
export function connect(baseUrl: string, connectTimeoutMs: number): Connection | undefined {
  const sessionManager = new Http2SessionManager(baseUrl, { connectTimeoutMs }, { settings: { initialWindowSize: window } });
  return {
    transport: createConnectTransport({ httpVersion: "2", baseUrl, sessionManager, acceptCompression: [] }),
    close: () => sessionManager.abort(),
  };
}
