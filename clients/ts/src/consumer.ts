import { sleep, streamError, type Calls } from "./calls.js";
import type { ConsumerContext } from "./consumer_context.js";
import { ConsumerFetch, settleBatch } from "./consumer_fetch.js";
import { ConsumerStream } from "./consumer_stream.js";
import { fromPlain } from "./convert.js";
import type { Delivery, Lease } from "./delivery.js";
import { ChatcoreError, hasCode, invalid } from "./errors.js";
import { isFinal } from "./feed_stream.js";
import { ConsumeStartSchema } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import { Handlers, type Handler } from "./handlers.js";
import type { Connection } from "./http2_none.js";

/**
 * ConsumerState is the state of a consumer: "connecting", "live" while it receives deliveries, "waiting" for the next attempt after a failure, "closing" while
 * its last handlers end, or "closed".
 */
export type ConsumerState = "connecting" | "live" | "waiting" | "closing" | "closed";

/** ConsumeOptions say how a consumer receives deliveries. */
export interface ConsumeOptions {
  /** The most handlers at a time, 1 to 4,096. Defaults to 64. */
  credit?: number | undefined;
  /** Lease of each delivery in milliseconds, 1,000 to 3,600,000. It is extended while a handler runs. Defaults to 30,000. */
  leaseMs?: number | undefined;
  /** Name of the consumer, for the server's logs, at most 128 bytes. Defaults to none. */
  name?: string | undefined;
  /**
   * "stream" for one stream over HTTP/2, which needs Node; "fetch" for single calls, which any HTTP takes. Defaults to a stream where it is possible, and to
   * single calls otherwise.
   */
  mode?: "stream" | "fetch" | undefined;
  /** Signal that closes the consumer, as close does. */
  signal?: AbortSignal | undefined;
  /** Function that is called with each error of a handler but Postpone, and without a delivery if outcomes could not be settled. Defaults to console.error. */
  onError?: ((error: unknown, delivery?: Delivery) => void) | undefined;
  /** Function that is called when a delivery was settled too late: its event may be delivered again, or has been. */
  onStale?: ((delivery: Delivery) => void) | undefined;
  /** Function that is called after each change of the state; with the failure, if the consumer waits after one. */
  onStateChange?: ((state: ConsumerState, error?: ChatcoreError) => void) | undefined;
}

/** CloseOptions say how a consumer closes. */
export interface CloseOptions {
  /** Milliseconds for the handlers that run. Afterwards their signals abort, and their deliveries return to the group, without an attempt. Defaults to no bound. */
  timeoutMs?: number | undefined;
}

const firstBackoff = 100; // milliseconds, doubled with each attempt
const longestBackoff = 10_000;
const longestRetryAfter = 30_000;
const steadyMs = 10_000; // life of a link after which its end is the first failure again
const otherKind = "not_a_pull_group";
const lastSettleMs = 10_000;

/**
 * Consumer receives the events of a pull group and has a handler called for each: at least once, and those of a chat in order. It reconnects by itself.
 *
 *     const consumer = client.consume("push", async ({ event }) => { … });
 *     await consumer.done;
 */
export class Consumer {
  /**
   * Promise that resolves when the consumer is closed. It rejects with an error that no retry helps against: unauthenticated (after the token was asked for
   * again), permission_denied, invalid_argument, not_found, and failed_precondition of a group of another kind.
   */
  readonly done: Promise<void>;

  private current: ConsumerState = "connecting";
  private failures = 0;
  private renewed = false;
  private closeTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly stop = new AbortController(); // ends the pause before the next attempt
  private readonly handlers: Handlers;
  private readonly context: ConsumerContext & { isClosing: boolean };

  constructor(
    private readonly calls: Calls,
    private readonly connection: (index: number) => Promise<Connection | undefined>,
    group: string,
    handler: Handler,
    private readonly options: ConsumeOptions,
  ) {
    const { credit = 64, leaseMs = 30_000, name = "" } = options;
    checkOptions(group, handler, credit, leaseMs, options);
    this.handlers = new Handlers(handler, credit, { onError: this.guarded(options.onError ?? logError), onStale: this.guarded(options.onStale) });
    const startMs = calls.settings.attemptTimeoutMs;
    this.context = { calls, handlers: this.handlers, group, leaseMs, name, startMs, isClosing: false, live: () => this.live() };
    this.done = this.run();
    options.signal?.addEventListener("abort", () => void this.close(), { once: true });
    if (options.signal?.aborted) {
      void this.close();
    }
  }

  /** state is the state of the consumer. */
  get state(): ConsumerState {
    return this.current;
  }

  /**
   * Closes the consumer: no further handler begins, those that run end, their outcomes are settled, and deliveries that no handler has begun return to the group
   * without an attempt. It resolves when all of that is over, also if the consumer has ended with an error.
   */
  async close({ timeoutMs }: CloseOptions = {}): Promise<void> {
    if (!this.context.isClosing) {
      this.context.isClosing = true;
      this.setState("closing");
      this.release(this.handlers.close());
      this.stop.abort();
    }
    if (timeoutMs !== undefined && this.current !== "closed") {
      clearTimeout(this.closeTimer);
      this.closeTimer = setTimeout(() => this.abandon(), timeoutMs);
    }
    this.handlers.settlements.wake();
    await this.done.catch(() => undefined);
  }

  private abandon(): void {
    this.release(this.handlers.abandon(new ChatcoreError("canceled", "the consumer closed before the handler ended")));
    this.handlers.settlements.wake();
  }

  /** release returns deliveries to the group without an attempt. A stream does so at its end. */
  private release(leases: readonly Lease[]): void {
    leases.filter(({ link, lost }) => link instanceof ConsumerFetch && !lost).forEach((lease) => this.handlers.postpone(lease));
  }

  /** run keeps a link until close, or until an error that no retry helps against. */
  private async run(): Promise<void> {
    await undefined; // the caller has the consumer before its first callback
    try {
      while (!this.context.isClosing) {
        this.setState("connecting");
        const began = Date.now();
        try {
          await this.link();
        } catch (error) {
          if (!this.context.isClosing) {
            await this.pause(error as ChatcoreError, Date.now() - began);
          }
        }
      }
    } finally {
      this.context.isClosing = true;
      await this.finish();
      this.setState("closed");
    }
  }

  /** link receives deliveries over a stream or by single calls. It returns after close, and throws when the link fails. */
  private async link(): Promise<void> {
    const { instances } = this.calls.settings;
    const { mode } = this.options;
    const connection = mode === "fetch" ? undefined : await this.connection(instances.currentIndex);
    if (connection === undefined) {
      if (mode === "stream") {
        throw invalid("mode", "is not possible outside of Node", '"fetch"');
      }
      return this.fetch();
    }
    const stream = new ConsumerStream(this.context, connection.transport);
    try {
      await stream.run();
    } catch (cause) {
      const error = linkError(cause);
      this.handlers.loseLink(stream, error);
      if (mode === "stream" || stream.started || !lacksStreams(cause, error)) {
        this.failed(error);
        throw error;
      }
    } finally {
      connection.close();
    }
    return this.context.isClosing ? undefined : this.fetch();
  }

  private async fetch(): Promise<void> {
    try {
      await new ConsumerFetch(this.context).run();
    } catch (cause) {
      this.handlers.settlements.resend();
      throw linkError(cause);
    }
  }

  /** failed has the next link use another instance. */
  private failed(error: ChatcoreError): void {
    const { instances } = this.calls.settings;
    if (!hasCode(error, "unauthenticated", "permission_denied", "invalid_argument", "resource_exhausted")) {
      instances.failed(instances.current);
    }
  }

  private live(): void {
    this.renewed = false;
    this.setState("live");
  }

  /** pause waits after a failure, or throws the failure if it is final. */
  private async pause(error: ChatcoreError, lifeMs: number): Promise<void> {
    if (lifeMs >= steadyMs) {
      this.failures = 0;
    }
    if (isFinal(error, this.renewed || !this.calls.settings.renewable) || error.reason === otherKind) {
      throw error;
    }
    const renews = error.code === "unauthenticated" && !this.renewed;
    this.renewed ||= renews;
    const backoff = Math.min(longestBackoff, firstBackoff * 2 ** this.failures++) * (0.5 + Math.random() / 2);
    const retryAfter = Math.min(error.retryAfter ?? 0, longestRetryAfter);
    this.setState("waiting", error);
    await sleep(renews ? 0 : Math.max(backoff, retryAfter), this.stop.signal);
  }

  /** finish waits for the handlers that run, and settles what no link has settled. */
  private async finish(): Promise<void> {
    const { handlers, context } = this;
    this.release(handlers.close());
    await handlers.ended();
    handlers.settlements.resend();
    const end = Date.now() + lastSettleMs;
    try {
      while (handlers.settlements.hasQueued) {
        await settleBatch(context, handlers.settlements.take(), () => true, Math.max(1, end - Date.now()));
      }
    } catch (error) {
      this.guarded(this.options.onError ?? logError)(error);
    }
    clearTimeout(this.closeTimer);
    handlers.stop();
  }

  private setState(state: ConsumerState, error?: ChatcoreError): void {
    const isPast = this.current === "closed" || (this.current === "closing" && state !== "closed");
    if (this.current !== state && !isPast) {
      this.current = state;
      const { onStateChange } = this.options;
      queueMicrotask(() => onStateChange?.(state, error)); // an error of the function is not one of the consumer
    }
  }

  /** guarded returns a function of the user whose errors are not those of the consumer. */
  private guarded<A extends unknown[]>(f: (...args: A) => void): (...args: A) => void;
  private guarded<A extends unknown[]>(f: ((...args: A) => void) | undefined): ((...args: A) => void) | undefined;
  private guarded<A extends unknown[]>(f: ((...args: A) => void) | undefined) {
    return f && ((...args: A) => queueMicrotask(() => f(...args)));
  }
}

function checkOptions(group: string, handler: Handler, credit: number, leaseMs: number, { name, mode }: ConsumeOptions): void {
  fromPlain(ConsumeStartSchema, { group, credit, lease: leaseMs, consumer: name });
  if (group === "") {
    throw invalid("group", "is empty", "the name of a group");
  }
  if (typeof handler !== "function") {
    throw invalid("handler", "has the wrong type", "a function");
  }
  if (credit < 1 || credit > 4_096) {
    throw invalid("credit", `is ${credit}`, "1 to 4096");
  }
  if (leaseMs < 1_000 || leaseMs > 3_600_000) {
    throw invalid("leaseMs", `is ${leaseMs}`, "1000 to 3600000 milliseconds");
  }
  if (mode !== undefined && mode !== "stream" && mode !== "fetch") {
    throw invalid("mode", "is unknown", "stream, fetch");
  }
}

function logError(error: unknown, delivery?: Delivery): void {
  const { chatId, seq, id } = delivery?.event ?? {};
  console.error(delivery ? `handler of event ${id}, ${chatId} ${seq}:` : "consumer:", error);
}

/** linkError converts an error of a link. A stream that breaks off has one of several codes, without the reason that errors of the server have. */
function linkError(cause: unknown): ChatcoreError {
  const error = streamError(cause);
  const broken = error.reason === "" && hasCode(error, "canceled", "internal", "deadline_exceeded", "unimplemented", "aborted");
  return broken ? new ChatcoreError("unavailable", "the connection failed", {}, { cause }) : error;
}

/** lacksStreams reports whether a stream failed because there is no HTTP/2 on the way to the server. */
function lacksStreams(cause: unknown, { reason, code }: ChatcoreError): boolean {
  if (reason !== "" || code !== "unavailable") {
    return false;
  }
  const texts: string[] = [];
  for (let error = cause; error instanceof Error && texts.length < 8; error = error.cause) {
    texts.push(`${(error as { code?: unknown }).code} ${error.message}`);
  }
  return /ERR_HTTP2_ERROR|Protocol error|ALPN|HTTP 505|streaming request|unimplemented|for \d+ ms/i.test(texts.join("\n"));
}
