import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ErrorDetailSchema, type ErrorDetail } from "./gen/chatcore/v1/errors_pb.js";

/** ErrorCode is the class of an error, as the Connect protocol names it. */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** ErrorFields are the details of a ChatcoreError. Fields that do not concern the error are undefined. */
export interface ErrorFields {
  /** Name of the error for programs, such as "not_member". "" if the server gave none: the connection failed, or a proxy answered. */
  reason?: string | undefined;
  /** Path of the wrong field, such as "chatId" or "attachments[1].url". */
  field?: string | undefined;
  /** Problem of the field, such as "is empty". */
  problem?: string | undefined;
  /** Values that the field accepts. */
  allowed?: string | undefined;
  /** Milliseconds after which the same call may succeed. */
  retryAfter?: number | undefined;
  /** Entity whose version did not match. Of reason "conflict". */
  entity?: string | undefined;
  /** Version that the entity has now. Of reason "conflict". */
  version?: number | undefined;
  /** Last seq of the chat. Of reason "seq_range". */
  headSeq?: number | undefined;
  /** Id under which the log of the server has the text of an internal error. */
  incidentId?: string | undefined;
  /** Kind of the limit that refused the call. Of reason "rate_limited". */
  limit?: string | undefined;
  /** Whether the same call with the same ids is safe to give again. */
  retryable?: boolean | undefined;
}

/**
 * ChatcoreError is the error of every call. An error with code "unavailable", "deadline_exceeded" or "canceled" does not say that nothing was done: give
 * the call again with the ids of the error.
 */
export class ChatcoreError extends Error {
  override readonly name = "ChatcoreError";
  readonly reason: string = "";
  readonly field?: string | undefined;
  readonly problem?: string | undefined;
  readonly allowed?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly entity?: string | undefined;
  readonly version?: number | undefined;
  readonly headSeq?: number | undefined;
  readonly incidentId?: string | undefined;
  readonly limit?: string | undefined;
  readonly retryable: boolean = false;
  /** Command id or message ids of the call, made or given. The same call with the same ids has its effect once. */
  readonly ids: readonly string[] = [];

  constructor(
    readonly code: ErrorCode,
    message: string,
    fields: ErrorFields & { ids?: readonly string[] } = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    for (const [key, value] of Object.entries(fields)) {
      if (value !== undefined) {
        Object.assign(this, { [key]: value });
      }
    }
  }
}

/** hasCode reports whether an error is a ChatcoreError with one of the codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is ChatcoreError {
  return error instanceof ChatcoreError && codes.includes(error.code);
}

/** hasReason reports whether an error is a ChatcoreError with one of the reasons, such as "not_member" or "rate_limited". */
export function hasReason(error: unknown, ...reasons: string[]): error is ChatcoreError {
  return error instanceof ChatcoreError && reasons.includes(error.reason);
}

/** invalid returns the error of a value that the client refuses before it calls the server. */
export function invalid(field: string, problem: string, allowed: string): ChatcoreError {
  return new ChatcoreError("invalid_argument", `${field} ${problem}: ${allowed}`, { reason: "invalid", field, problem, allowed });
}

/** errorFields converts the detail of an error. An empty field of the detail becomes undefined. */
export function errorFields(detail: ErrorDetail): ErrorFields {
  return {
    reason: detail.reason,
    field: detail.field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) || undefined,
    problem: detail.problem || undefined,
    allowed: detail.allowed || undefined,
    retryAfter: detail.retryAfter && durationMs(detail.retryAfter),
    entity: detail.entity || undefined,
    version: detail.entity ? detail.version : undefined,
    headSeq: detail.reason === "seq_range" ? detail.headSeq : undefined,
    incidentId: detail.incidentId || undefined,
    limit: detail.limit || undefined,
    retryable: detail.retryable,
  };
}

/** toError converts whatever a transport throws. ids are those of the call, and undefined if the call is not safe to give again. */
export function toError(cause: unknown, ids: readonly string[] | undefined): ChatcoreError {
  if (cause instanceof ChatcoreError) {
    return cause;
  }
  const error = ConnectError.from(cause);
  const detail = error.findDetails(ErrorDetailSchema)[0];
  const seconds = Number(error.metadata.get("retry-after") ?? NaN);
  const fields = {
    retryAfter: seconds > 0 ? seconds * 1000 : undefined,
    // Without a detail nobody but the connection, a proxy or an overloaded server has answered.
    retryable: ids !== undefined && (error.code === Code.Unavailable || error.code === Code.ResourceExhausted),
    ...(detail && withoutUndefined(errorFields(detail))),
  };
  return new ChatcoreError(codeName(error.code), error.rawMessage, { ...fields, ids }, { cause });
}

function withoutUndefined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** codeName returns the name of a code in the Connect protocol. */
function codeName(code: Code): ErrorCode {
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase() as ErrorCode;
}
