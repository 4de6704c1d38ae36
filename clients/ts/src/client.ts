import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { DeadLetters, Groups, Health } from "./admin.js";
import { Calls } from "./calls.js";
import { unaryFetch } from "./fetch.js";
import { Chats, Limits, Log, Messages, Presence, Sessions } from "./services.js";

/** ClientOptions configure a client. */
export interface ClientOptions {
  /** Address of the server, such as "https://chat.example.com". */
  url: string;
  /** Token of a service, a session or a JWT, or a function that returns the current one before each attempt. Defaults to none. */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** Milliseconds for one call with all its retries. Defaults to 30,000. */
  timeoutMs?: number | undefined;
  /** Milliseconds for one attempt of a call. Defaults to 10,000. */
  attemptTimeoutMs?: number | undefined;
  /** Function that makes the HTTP requests. Defaults to the global fetch. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Transport of Connect that makes the calls instead of fetch, such as one of @connectrpc/connect-node. */
  transport?: Transport | undefined;
}

/** Client calls one server. It holds nothing to close, and serves any number of concurrent calls. */
export class Client {
  readonly chats: Chats;
  readonly messages: Messages;
  readonly log: Log;
  readonly presence: Presence;
  readonly sessions: Sessions;
  readonly limits: Limits;
  /** Administration. The token needs the scope admin. */
  readonly admin: { readonly groups: Groups; readonly deadLetters: DeadLetters; readonly health: Health };

  constructor(options: ClientOptions) {
    const { url, token, timeoutMs = 30_000, attemptTimeoutMs = 10_000 } = options;
    const transport =
      options.transport ?? createConnectTransport({ baseUrl: url, fetch: unaryFetch(options.fetch ?? ((...args) => globalThis.fetch(...args))) });
    const calls = new Calls({ transport, token: typeof token === "function" ? token : () => token, timeoutMs, attemptTimeoutMs });
    this.chats = new Chats(calls);
    this.messages = new Messages(calls);
    this.log = new Log(calls);
    this.presence = new Presence(calls);
    this.sessions = new Sessions(calls);
    this.limits = new Limits(calls);
    this.admin = { groups: new Groups(calls), deadLetters: new DeadLetters(calls), health: new Health(calls) };
  }
}

/** createClient returns a client of one server. */
export function createClient(options: ClientOptions): Client {
  return new Client(options);
}
