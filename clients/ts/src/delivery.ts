import type { ChatcoreError } from "./errors.js";
import type { Delivery as ProtoDelivery } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import type { Event } from "./models.js";
import type { SettlementInput } from "./outcomes.js";
import type { Plain } from "./types.js";

/** Delivery is an event that is leased to a consumer. */
export interface Delivery {
  /** The event. Its id is the same in every delivery: an effect that is unique by it happens once. The seq of an entry of another program is 0. */
  readonly event: Event;
  /** Number of the chat's last message as of this event. */
  readonly ordinal: number;
  /** Attempts for this event, from 1, over all consumers. */
  readonly attempt: number;
  /** Whether a consumer may have had the event before. */
  readonly redelivered: boolean;
  /** Epoch of the partition's owner: it grows with every owner. An effect with a lower epoch than another one of the chat is late. */
  readonly epoch: number;
  /** When the event was appended. */
  readonly appendedAt: Date | undefined;
  /** Id of the log. Another id is another log, with other seqs. */
  readonly logId: string;
  /**
   * Signal that aborts when the delivery is not the consumer's any more: its lease ended, its stream broke, or its settlement was stale. It aborts as well when
   * the consumer's close does not wait any longer.
   */
  readonly signal: AbortSignal;
  /** Whether the delivery is not the consumer's any more. The event may be delivered again, to this consumer or another one. */
  readonly stale: boolean;
}

/** Lease is the state of a delivery, from its receipt until its outcome is settled. */
export class Lease {
  readonly delivery: Delivery;
  readonly token: string;
  /** When the lease is extended, and when it ends, by performance.now(). */
  extendAt = Infinity;
  endsAt = Infinity;
  /** Outcome of the handler, once it is there. */
  outcome: SettlementInput | undefined;
  /** Whether a settlement of the lease has no answer yet. */
  unanswered = false;
  /** Whether the delivery is not the consumer's any more, as far as the consumer knows. */
  lost = false;
  /** Whether the server said so. */
  answeredStale = false;
  /** Whether the consumer closed before the handler ended. */
  abandoned = false;

  private controller: AbortController | undefined;
  private reason: unknown;

  /** link is the stream or the loop that the delivery came from. */
  constructor(
    delivery: Plain<ProtoDelivery>,
    logId: string,
    readonly link: object,
  ) {
    this.token = delivery.token;
    this.delivery = new LeasedDelivery(this, delivery, logId);
  }

  /** signal is the signal of the delivery. It is made when a handler asks for it. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined) {
        this.controller.abort(this.reason);
      }
    }
    return this.controller.signal;
  }

  /** begin begins the lease anew. */
  begin(at: number, leaseMs: number): void {
    this.extendAt = at + leaseMs / 3;
    this.endsAt = at + leaseMs;
  }

  /** lose marks the delivery as one that is not the consumer's any more. */
  lose(reason: ChatcoreError): void {
    this.lost = true;
    this.abort(reason);
  }

  abort(reason: ChatcoreError): void {
    this.reason ??= reason;
    this.controller?.abort(this.reason);
  }
}

class LeasedDelivery implements Delivery {
  readonly event: Event;
  readonly ordinal: number;
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly epoch: number;
  readonly appendedAt: Date | undefined;
  readonly #lease: Lease;

  constructor(
    lease: Lease,
    { event, ordinal, attempt, redelivered, epoch, appendedAt }: Plain<ProtoDelivery>,
    readonly logId: string,
  ) {
    this.#lease = lease;
    this.event = event!;
    this.ordinal = ordinal;
    this.attempt = attempt;
    this.redelivered = redelivered;
    this.epoch = epoch;
    this.appendedAt = appendedAt;
  }

  get signal(): AbortSignal {
    return this.#lease.signal;
  }

  get stale(): boolean {
    return this.#lease.lost;
  }
}
