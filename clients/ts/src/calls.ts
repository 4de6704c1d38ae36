import type { Transport } from "@connectrpc/connect";
import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { fromPlain, toPlain } from "./convert.js";
import { ChatcoreError, hasCode, toError } from "./errors.js";
import { MarkReadRequestSchema, SendMessageRequestSchema, SendMessagesRequestSchema } from "./gen/chatcore/v1/message_pb.js";
import { newId } from "./ids.js";
import type { Instances } from "./instances.js";
import type { Plain } from "./types.js";

/** CallOptions bound one call. */
export interface CallOptions {
  /** Milliseconds for the call with all its retries. Defaults to the timeoutMs of the client. */
  timeoutMs?: number | undefined;
  /** Signal that ends the call with code "canceled", or "deadline_exceeded" if it is one of AbortSignal.timeout. */
  signal?: AbortSignal | undefined;
}

/** StreamOptions bound a call with many responses. */
export interface StreamOptions extends CallOptions {
  /** Milliseconds until the first response. Defaults to no bound. */
  firstMs?: number | undefined;
  /** Milliseconds between two responses, while the caller waits for the second one. Defaults to no bound. */
  silenceMs?: number | undefined;
}

/** Settings are what all calls of a client share. */
export interface Settings {
  instances: Instances;
  token: () => string | undefined | Promise<string | undefined>;
  /** Whether the token may be another one when it is asked for again. */
  renewable: boolean;
  timeoutMs: number;
  attemptTimeoutMs: number;
}

const firstBackoff = 100; // milliseconds, doubled with each attempt
const longestBackoff = 5_000;

/** Calls makes the calls of a client. */
export class Calls {
  constructor(readonly settings: Settings) {}

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

  /**
   * stream makes a call with many responses, and does not retry it. It has no deadline unless options name one. A connection that fails or breaks off, a
   * token that cannot be had, and a stream that is silent for too long are "unavailable".
   */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    input: object,
    options: StreamOptions = {},
  ): AsyncGenerator<Plain<MessageShape<O>>, void, undefined> {
    const request = fromPlain(method.input, input);
    const transport = this.settings.instances.current;
    const stop = new AbortController(); // not AbortSignal.any, which the garbage collector of Node 20 may take away
    const { signal } = stop;
    const abort = () => stop.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", abort);
    if (options.signal?.aborted) {
      abort();
    }
    try {
      let responses: AsyncIterator<MessageShape<O>> | undefined;
      for (;;) {
        const next = async () => {
          responses ??= (await transport.stream(method, signal, options.timeoutMs, await this.streamHeaders(), only(request as never))).message[Symbol.asyncIterator]();
          return responses.next();
        };
        const { done, value } = await within(responses ? options.silenceMs : options.firstMs, next());
        if (done) {
          return;
        }
        yield toPlain(method.output, value);
      }
    } catch (cause) {
      const error = ended(options.signal) ?? streamError(cause);
      this.switchInstance(transport, error);
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", abort);
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
    const transport = this.settings.instances.current;
    try {
      const response = await transport.unary(method, signal, timeoutMs, headers, request as never);
      return toPlain(method.output, response.message);
    } catch (cause) {
      const error = ended(signal, ids) ?? toError(cause, ids);
      this.switchInstance(transport, error);
      throw error;
    }
  }

  /** switchInstance has later calls use another instance after an error that another one may not have. */
  private switchInstance(transport: Transport, error: ChatcoreError): void {
    if (hasCode(error, "unavailable", "deadline_exceeded", "internal", "unknown", "unimplemented")) {
      this.settings.instances.failed(transport);
    }
  }

  /** streamHeaders returns the headers of a stream. A token that cannot be had is "unavailable". */
  async streamHeaders(): Promise<Headers> {
    try {
      return await this.headers();
    } catch (cause) {
      throw new ChatcoreError("unavailable", "the token cannot be had", {}, { cause });
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

/** streamError converts the error of a stream. A connection that breaks off has one of two codes, without the reason that errors of the server have. */
export function streamError(cause: unknown): ChatcoreError {
  const error = toError(cause, undefined);
  const broken = error.reason === "" && hasCode(error, "unknown", "invalid_argument");
  return broken ? new ChatcoreError("unavailable", "the connection failed", {}, { cause }) : error;
}

/** within returns the result of a promise, and throws after ms. */
export async function within<T>(ms: number | undefined, promise: Promise<T>): Promise<T> {
  if (ms === undefined) {
    return promise;
  }
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ChatcoreError("unavailable", `no message came for ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** sleep waits, and ends early if the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
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
