import type { Calls } from "./calls.js";
import type { Handlers } from "./handlers.js";

/** ConsumerContext is what the links of a consumer share. */
export interface ConsumerContext {
  readonly calls: Calls;
  readonly handlers: Handlers;
  readonly group: string;
  readonly leaseMs: number;
  readonly name: string;
  /** Milliseconds for the first response of a link. */
  readonly startMs: number;
  readonly isClosing: boolean;
  /** live is called when the server has answered first. */
  live(): void;
}
