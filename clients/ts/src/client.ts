import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { DeadLetters, Erasures, Groups, Health, Retention, Webhooks } from "./admin.js";
import { Calls, type CallOptions } from "./calls.js";
import { Consumer, type ConsumeOptions } from "./consumer.js";
import { invalid } from "./errors.js";
import { Feed, type FeedOptions } from "./feed.js";
import { feedURL, type FeedTicket, type FeedTicketInput, type FeedURLInput } from "./feed_url.js";
import { connectionFetch } from "./fetch.js";
import { FeedService } from "./gen/chatcore/v1/feed_pb.js";
import type { Handler } from "./handlers.js";
import type { Connection } from "./http2_none.js";
import { Instances } from "./instances.js";
import { Chats, Limits, Log, Messages, Presence, Sessions } from "./services.js";

/** ClientOptions configure a client. */
export interface ClientOptions {
  /**
   * Address of the server or of a balancer, such as "https://chat.example.com"; or addresses of the server's instances, of which calls and feeds use one
   * until it fails, and then the next.
   */
  url: string | readonly string[];
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

/** Client calls one server. It has nothing to close but its feeds, and serves any number of concurrent calls. */
export class Client {
  readonly chats: Chats;
  readonly messages: Messages;
  readonly log: Log;
  readonly presence: Presence;
  readonly sessions: Sessions;
  readonly limits: Limits;
  /** Administration. The token needs the scope admin, for webhooks the scope webhooks. */
  readonly admin: { readonly groups: Groups; readonly webhooks: Webhooks; readonly deadLetters: DeadLetters; readonly retention: Retention; readonly erasures: Erasures; readonly health: Health };

  readonly #calls: Calls;
  readonly #urls: readonly string[];
  readonly #connection: (index: number) => Promise<Connection | undefined>;

  constructor(options: ClientOptions) {
    const { url, token, timeoutMs = 30_000, attemptTimeoutMs = 10_000 } = options;
    this.#urls = typeof url === "string" ? [url] : url;
    if (this.#urls.length === 0) {
      throw invalid("url", "is empty", "at least one address");
    }
    const fetch = connectionFetch(options.fetch ?? ((...args) => globalThis.fetch(...args)));
    const transports = options.transport ? [options.transport] : this.#urls.map((baseUrl) => createConnectTransport({ baseUrl, fetch }));
    const renewable = typeof token === "function";
    const instances = new Instances(transports);
    const calls = new Calls({ instances, token: renewable ? token : () => token, renewable, timeoutMs, attemptTimeoutMs });
    this.#calls = calls;
    this.#connection = async (index) => {
      const { transport } = options;
      return transport ? { transport, close: () => undefined } : (await import("#http2")).connect(this.#urls[index]!, attemptTimeoutMs);
    };
    this.chats = new Chats(calls);
    this.messages = new Messages(calls);
    this.log = new Log(calls);
    this.presence = new Presence(calls);
    this.sessions = new Sessions(calls);
    this.limits = new Limits(calls);
    this.admin = { groups: new Groups(calls), webhooks: new Webhooks(calls), deadLetters: new DeadLetters(calls), retention: new Retention(calls), erasures: new Erasures(calls), health: new Health(calls) };
  }

  /**
   * Begins a feed: the events of chats after a position, then each one as it happens. The feed resumes by itself until it is closed, by its loop's end, by
   * close or by the signal.
   */
  feed(options: FeedOptions): Feed {
    return new Feed(this.#calls, options);
  }

  /**
   * Begins a consumer of a pull group: the handler is called for each event, at least once, for the events of a chat in order, and for up to credit chats at a
   * time. A handler that returns acks the event. One that throws fails the attempt, unless it throws Retry, Dead or Postpone. The consumer reconnects by itself
   * until it is closed, by close or by the signal. The token needs the scope consume:GROUP, so that no browser is a consumer.
   */
  consume(group: string, handler: Handler, options: ConsumeOptions = {}): Consumer {
    return new Consumer(this.#calls, this.#connection, group, handler, options);
  }

  /** Returns a ticket with which one request of feedURL may begin within 30 seconds. A service may name the user that reads. */
  feedTicket(input: FeedTicketInput = {}, options?: CallOptions): Promise<FeedTicket> {
    return this.#calls.repeat(FeedService.method.createFeedTicket, input, options);
  }

  /** Returns the address of a feed of server-sent events, for an EventSource, which cannot send a token. It has no chats that are not named. */
  feedURL(input: FeedURLInput): string {
    return feedURL(this.#urls[this.#calls.settings.instances.currentIndex % this.#urls.length]!, input);
  }
}

/** createClient returns a client of one server. */
export function createClient(options: ClientOptions): Client {
  return new Client(options);
}
