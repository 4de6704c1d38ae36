/** Outcome is what a handler throws to say what becomes of a delivery. Every other error is a failed attempt, as new Retry() is. */
export abstract class Outcome extends Error {}

/** Retry says that an attempt failed. The event is delivered again, or becomes a dead letter after the group's last attempt. */
export class Retry extends Outcome {
  override readonly name = "Retry";

  /** afterMs is the pause before the next attempt, in milliseconds, up to 24 hours. It defaults to the pause of the group's retry policy. */
  constructor(
    readonly afterMs?: number,
    reason = "",
    options?: ErrorOptions,
  ) {
    super(reason, options);
  }
}

/** Dead says that no retry helps: the event becomes a dead letter at once. */
export class Dead extends Outcome {
  override readonly name = "Dead";

  /** reason is kept with the dead letter: its first 1,024 bytes. */
  constructor(reason = "", options?: ErrorOptions) {
    super(reason, options);
  }
}

/** Postpone says that the event cannot be handled now. It is delivered again, and no attempt is counted. */
export class Postpone extends Outcome {
  override readonly name = "Postpone";

  /** afterMs is the pause before the next delivery, in milliseconds, up to 24 hours. It defaults to a second. */
  constructor(
    readonly afterMs?: number,
    reason = "",
    options?: ErrorOptions,
  ) {
    super(reason, options);
  }
}

/** SettlementInput is the plain form of a settlement without its token. */
export type SettlementInput =
  | { ack: object }
  | { retry: { after?: number | undefined; reason: string } }
  | { dead: { reason: string } }
  | { postpone: { after?: number | undefined; reason: string } }
  | { extend: object };

const longestReason = 1_024; // bytes
const longestPause = 24 * 60 * 60 * 1_000;

/** settlementOf returns the settlement of a delivery whose handler threw. */
export function settlementOf(error: unknown): SettlementInput {
  if (error instanceof Dead) {
    return { dead: { reason: reasonOf(error.message) } };
  }
  if (error instanceof Postpone) {
    return { postpone: { after: pauseOf(error.afterMs), reason: reasonOf(error.message) } };
  }
  if (error instanceof Retry) {
    return { retry: { after: pauseOf(error.afterMs), reason: reasonOf(error.message) } };
  }
  return { retry: { reason: reasonOf(textOf(error)) } };
}

function textOf(error: unknown): string {
  try {
    return String(error);
  } catch {
    return "an error without a text"; // an object without a prototype
  }
}

/** reasonOf returns at most 1,024 bytes of a text, without a broken character at its end. */
function reasonOf(text: string): string {
  const bytes = new Uint8Array(longestReason);
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return new TextDecoder().decode(bytes.subarray(0, written));
}

/** pauseOf returns the pause in the bounds of the API. A pause that is not a number is left to the group. */
function pauseOf(afterMs: number | undefined): number | undefined {
  return afterMs === undefined || Number.isNaN(afterMs) ? undefined : Math.min(longestPause, Math.max(0, afterMs));
}
