import type { Transport } from "@connectrpc/connect";

/** Connection is a connection of its own to one instance. */
export interface Connection {
  readonly transport: Transport;
  close(): void;
}

/** connect returns undefined: outside of Node there are no streams in both directions. package.json chooses between this module and http2.ts. */
export function connect(_baseUrl: string, _connectTimeoutMs: number): Connection | undefined {
  return undefined;
}
