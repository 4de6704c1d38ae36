import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { fromPlain, toPlain } from "./convert.js";
import { ChatcoreError, toError } from "./errors.js";
import { MarkReadRequestSchema, SendMessageRequestSchema, SendMessagesRequestSchema } from "./gen/chatcore/v1/message_pb.js";
import { newId } from "./ids.js";
import type { Plain } from "./types.js";

/** CallOptions bound one call. */
export interface CallOptions {
  /** Milliseconds for the call with all its retries. Defaults to the timeoutMs of the client. */
  timeoutMs?: number | undefined;
  /** Signal that ends the call with code "canceled", or "deadline_exceeded" if it is one of AbortSignal.timeout. */
  signal?: AbortSignal | undefined;
}

/** Settings are what all calls of a client share. */
export interface Settings {
  transport: Transport;
  token: () => string | undefined | Promise<string | undefined>;
  timeoutMs: number;
  attemptTimeoutMs: number;
}

const firstBackoff = 100; // milliseconds, doubled with each attempt
const longestBackoff = 5_000;

/** Calls makes the calls of a client. */
export class Calls {
  constructor(private readonly settings: Settings) {}

  /**
   * repeat makes a call that has its effect once however often it is given, and retries it. It makes the ids that the request needs and lacks, once for
   * all attempts.
   */
  async repeat<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: object,
    options: CallOptions = {},
  ): Promise<Plain<MessageShape<O>>> {
    const request = fromPlain(method.input, input);
    const ids = fillIds(request as Request);
    const end = this.end(options);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.attempt(method, request, ids, end, options.signal);
      } catch (error) {
        const pause = retryPause(error, attempt);
        if (pause === undefined || pause >= end - Date.now()) {
          throw error;
        }
        await sleep(pause, options.signal);
        if (options.signal?.aborted) {
          throw ended(options.signal, ids);
        }
      }
    }
  }

  /** once makes a call that is not safe to give again, and does not retry it. */
  async once<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: object,
    options: CallOptions = {},
  ): Promise<Plain<MessageShape<O>>> {
    return this.attempt(method, fromPlain(method.input, input), undefined, this.end(options), options.signal);
  }

  /** stream makes a call with many responses, and does not retry it. It has no deadline unless options name one. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    input: object,
    options: CallOptions = {},
  ): AsyncGenerator<Plain<MessageShape<O>>, void, undefined> {
    const request = fromPlain(method.input, input);
    const headers = await this.headers();
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    try {
      const response = await this.settings.transport.stream(method, signal, options.timeoutMs, headers, only(request as never));
      for await (const message of response.message) {
        yield toPlain(method.output, message);
      }
    } catch (error) {
      throw ended(options.signal) ?? toError(error, undefined);
    } finally {
      stop.abort(); // a caller that leaves early ends the stream
    }
  }

  private async attempt<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    ids: readonly string[] | undefined, // undefined: the call is not safe to give again
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<Plain<MessageShape<O>>> {
    const headers = await this.headers();
    const timeoutMs = Math.max(1, Math.min(end - Date.now(), this.settings.attemptTimeoutMs));
    try {
      const response = await this.settings.transport.unary(method, signal, timeoutMs, headers, request as never);
      return toPlain(method.output, response.message);
    } catch (error) {
      throw ended(signal, ids) ?? toError(error, ids);
    }
  }

  private end(options: CallOptions): number {
    return Date.now() + (options.timeoutMs ?? this.settings.timeoutMs);
  }

  private async headers(): Promise<Headers> {
    const token = await this.settings.token();
    return new Headers(token ? { Authorization: `Bearer ${token}` } : {});
  }
}

/** retryPause returns the milliseconds before the next attempt, or undefined if the error is final. */
function retryPause(error: unknown, attempt: number): number | undefined {
  if (!(error instanceof ChatcoreError) || !(error.retryable || error.code === "deadline_exceeded")) {
    return undefined; // a deadline_exceeded with time left is that of the attempt
  }
  const backoff = Math.min(longestBackoff, firstBackoff * 2 ** attempt);
  return Math.max(error.retryAfter ?? 0, 0) + backoff * (0.5 + Math.random() / 2);
}

/** ended returns the error of a call that its caller's signal has ended. */
function ended(signal: AbortSignal | undefined, ids: readonly string[] = []): ChatcoreError | undefined {
  if (!signal?.aborted) {
    return undefined;
  }
  const cause: unknown = signal.reason;
  const expired = cause instanceof Error && cause.name === "TimeoutError";
  return new ChatcoreError(expired ? "deadline_exceeded" : "canceled", "the signal of the call ended it", { ids }, { cause });
}

/** sleep waits, and ends early if the signal aborts. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

type Request = { $typeName: string; commandId?: string; messageId?: string; messages?: Request[] };

/** fillIds makes the ids that a command lacks, and returns all ids of the command. */
function fillIds(request: Request): string[] {
  switch (request.$typeName) {
    case SendMessagesRequestSchema.typeName:
      return request.messages!.flatMap(fillIds);
    case SendMessageRequestSchema.typeName:
      return [(request.messageId ||= newId())];
    case MarkReadRequestSchema.typeName:
      return request.commandId ? [request.commandId] : []; // marks only move forward
    default:
      return request.commandId === undefined ? [] : [(request.commandId ||= newId())];
  }
}

async function* only<T>(value: T): AsyncGenerator<T> {
  yield value;
}
