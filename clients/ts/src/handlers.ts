import { Lease, type Delivery } from "./delivery.js";
import { ChatcoreError } from "./errors.js";
import { SettleStatus } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import { Postpone, settlementOf, type SettlementInput } from "./outcomes.js";
import { Settlements } from "./settlements.js";

/** Handler handles one delivery. Its return acks the event, and its error is the outcome otherwise. */
export type Handler = (delivery: Delivery) => unknown;

/** HandlerCallbacks are the functions of a consumer's user that handlers cause to be called. */
export interface HandlerCallbacks {
  onError: (error: unknown, delivery?: Delivery) => void;
  onStale: ((delivery: Delivery) => void) | undefined;
}

/** Handlers runs the handlers of a consumer's deliveries, at most limit at a time, keeps their leases, and settles their outcomes. */
export class Handlers {
  readonly settlements = new Settlements();
  private readonly leases = new Set<Lease>(); // without an answer to the outcome
  private readonly running = new Set<Lease>();
  private readonly events = new Set<string>(); // ids of the events whose handlers run
  private waiting: Lease[] = [];
  private timer: ReturnType<typeof setInterval> | undefined;
  private leaseMs = Infinity;

  constructor(
    private readonly handler: Handler,
    private readonly limit: number,
    private readonly callbacks: HandlerCallbacks,
  ) {}

  /** isIdle reports whether no handler runs and each outcome is answered. */
  get isIdle(): boolean {
    return this.running.size === 0 && this.settlements.size === 0;
  }

  /** room returns the number of deliveries that a link may have, if it has as many as the server knows: the handlers of others run on. */
  room(link: object): number {
    let others = 0;
    for (const lease of this.running) {
      others += lease.link === link ? 0 : 1;
    }
    return this.limit - others;
  }

  /** free returns the number of further deliveries for which there is room. */
  get free(): number {
    return this.limit - this.leases.size;
  }

  /** setLease has leases extended that are of so many milliseconds. */
  setLease(leaseMs: number): void {
    if (leaseMs !== this.leaseMs) {
      this.leaseMs = leaseMs;
      clearInterval(this.timer);
      this.timer = setInterval(() => this.extend(), leaseMs / 6);
    }
  }

  /** receive has the handler of a delivery begin, at once or when there is room. The same event never has two handlers at a time. */
  receive(lease: Lease): void {
    lease.begin(performance.now(), this.leaseMs);
    this.leases.add(lease);
    this.waiting.push(lease);
    this.pump();
  }

  /** answer takes the server's answer to a settlement. */
  answer(token: string, status: SettleStatus): void {
    const settlement = this.settlements.answer(token);
    if (settlement === undefined) {
      return;
    }
    const { lease, input, sentAt } = settlement;
    if (status === SettleStatus.STALE) {
      this.stale(lease);
    } else if (status !== SettleStatus.DONE) {
      this.settlements.put(lease, lease.outcome ?? input); // the instance of the delivery did not answer in time: what it knows, it answers as before
    } else if (!("extend" in input)) {
      this.leases.delete(lease);
    } else {
      lease.begin(sentAt, this.leaseMs);
      if (lease.outcome !== undefined) {
        this.settlements.put(lease, lease.outcome);
      }
    }
    this.settlements.wake();
  }

  /** loseLink marks the deliveries of a link that broke. Outcomes that were sent are sent again: they may have arrived. */
  loseLink(link: object, error: ChatcoreError): void {
    this.settlements.drop(({ lease, input }) => lease.link === link && "extend" in input);
    this.settlements.resend();
    for (const lease of [...this.leases]) {
      if (lease.link === link && lease.outcome === undefined) {
        this.lose(lease, error);
      }
    }
  }

  /** close begins no further handler. It returns the deliveries that wait for one. */
  close(): Lease[] {
    const unbegun = this.waiting;
    this.waiting = [];
    unbegun.forEach((lease) => this.leases.delete(lease));
    this.settlements.drop(({ lease }) => unbegun.includes(lease));
    return unbegun;
  }

  /** postpone returns a delivery to the group that no stream returns at its end. */
  postpone(lease: Lease): void {
    this.settlements.put(lease, { postpone: { after: 1, reason: "the consumer closes" } });
  }

  /** abandon gives up the handlers that run: their signals abort, and their outcomes are not settled. It returns their deliveries. */
  abandon(error: ChatcoreError): Lease[] {
    const left = [...this.running];
    this.running.clear();
    for (const lease of left) {
      lease.abandoned = true;
      this.leases.delete(lease);
      lease.abort(error);
    }
    this.settlements.drop(({ lease }) => lease.abandoned);
    return left;
  }

  /** ended waits until no handler runs, or until abandon. */
  async ended(): Promise<void> {
    while (this.running.size > 0) {
      await this.settlements.changed();
    }
  }

  /** stop ends the extension of leases. */
  stop(): void {
    clearInterval(this.timer);
  }

  private pump(): void {
    for (let i = 0; i < this.waiting.length && this.running.size < this.limit; ) {
      const lease = this.waiting[i]!;
      if (this.events.has(lease.delivery.event.id)) {
        i++; // after the handler of the earlier delivery of the event
      } else {
        this.waiting.splice(i, 1);
        this.running.add(lease);
        void this.run(lease);
      }
    }
  }

  private async run(lease: Lease): Promise<void> {
    const { delivery } = lease;
    const { id } = delivery.event;
    if (id !== "") {
      this.events.add(id);
    }
    let outcome: SettlementInput = { ack: {} };
    try {
      await this.handler(delivery);
    } catch (error) {
      outcome = settlementOf(error);
      if (!(error instanceof Postpone) && !lease.lost && !lease.abandoned) {
        this.callbacks.onError(error, delivery);
      }
    }
    this.events.delete(id);
    this.running.delete(lease);
    this.settle(lease, outcome);
    this.pump();
    this.settlements.wake();
  }

  /** settle settles an outcome. A failure of a delivery that is lost is counted already, and a known stale delivery has no outcome. */
  private settle(lease: Lease, outcome: SettlementInput): void {
    if (lease.abandoned || lease.answeredStale || (lease.lost && !("ack" in outcome))) {
      this.leases.delete(lease);
      return;
    }
    lease.outcome = outcome;
    if (!lease.unanswered) {
      this.settlements.put(lease, outcome);
    }
  }

  private extend(): void {
    const now = performance.now();
    for (const lease of [...this.leases]) {
      if (lease.outcome !== undefined || lease.lost) {
        continue;
      }
      if (!lease.unanswered && now >= lease.extendAt) {
        this.settlements.put(lease, { extend: {} }); // also after the end, when the process was suspended: the server knows
      } else if (lease.unanswered && now >= lease.endsAt) {
        this.lose(lease, new ChatcoreError("deadline_exceeded", "the lease of the delivery ended"));
      }
    }
  }

  private lose(lease: Lease, error: ChatcoreError): void {
    lease.lose(error);
    const place = this.waiting.indexOf(lease);
    if (place >= 0) {
      this.waiting.splice(place, 1); // no handler has begun it
      this.leases.delete(lease);
    } else if (!this.running.has(lease)) {
      this.leases.delete(lease);
    }
  }

  private stale(lease: Lease): void {
    lease.answeredStale = true;
    this.lose(lease, new ChatcoreError("aborted", "the delivery is not the consumer's any more", { reason: "stale" }));
    if (lease.outcome !== undefined || this.running.has(lease)) {
      this.callbacks.onStale?.(lease.delivery);
    }
  }
}
