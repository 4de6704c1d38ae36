import { fromPlain } from "./convert.js";
import type { Lease } from "./delivery.js";
import { SettlementSchema } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import type { SettlementInput } from "./outcomes.js";

/** Settlement is an outcome or an extension, until it is answered. */
export interface Settlement {
  readonly lease: Lease;
  readonly input: SettlementInput;
  /** When it was sent last, by performance.now(). */
  sentAt: number;
}

const largestBatch = 1_024;

/**
 * Settlements holds what a consumer has to settle, in order, until it is answered. Invariant: a lease has one settlement at most, so that answers have no order
 * among themselves.
 */
export class Settlements {
  private queue: Settlement[] = [];
  private readonly sent = new Map<string, Settlement>();
  private readonly waiting: (() => void)[] = [];

  /** size is the number of settlements without an answer. */
  get size(): number {
    return this.queue.length + this.sent.size;
  }

  get hasQueued(): boolean {
    return this.queue.length > 0;
  }

  put(lease: Lease, input: SettlementInput): void {
    lease.unanswered = true;
    this.queue.push({ lease, input, sentAt: 0 });
    this.wake();
  }

  /** take returns the next settlements, which count as sent. */
  take(): Settlement[] {
    const batch = this.queue.splice(0, largestBatch);
    const sentAt = performance.now();
    for (const settlement of batch) {
      settlement.sentAt = sentAt;
      this.sent.set(settlement.lease.token, settlement);
    }
    return batch;
  }

  /** answer removes the settlement of a token, and returns it. */
  answer(token: string): Settlement | undefined {
    const settlement = this.sent.get(token);
    if (settlement !== undefined) {
      this.sent.delete(token);
      settlement.lease.unanswered = false;
    }
    return settlement;
  }

  /** resend has what was sent without an answer sent again, first. The server answers a settlement that it knows as before. */
  resend(): void {
    this.queue = [...this.sent.values(), ...this.queue];
    this.sent.clear();
    this.wake();
  }

  /** drop removes the settlements that a predicate names. */
  drop(unwanted: (settlement: Settlement) => boolean): void {
    this.queue = this.queue.filter((settlement) => !unwanted(settlement));
    this.sent.forEach((settlement, token) => unwanted(settlement) && this.sent.delete(token));
    this.wake();
  }

  /** changed waits until wake is called, or a settlement is put. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  wake(): void {
    this.waiting.splice(0).forEach((resolve) => resolve());
  }
}

/** settlementInput returns the plain form of a settlement. */
export function settlementInput({ lease, input }: Settlement): SettlementInput & { token: string } {
  return { token: lease.token, ...input };
}

/** settlementMessage returns a settlement as a message of the API. */
export function settlementMessage(settlement: Settlement) {
  return fromPlain(SettlementSchema, settlementInput(settlement));
}
