import { sleep } from "./calls.js";
import { SettleStatus, ConsumerService } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import { Lease } from "./delivery.js";
import { ChatcoreError } from "./errors.js";
import type { ConsumerContext } from "./consumer_context.js";
import { turn } from "./consumer_stream.js";
import { settlementInput, type Settlement } from "./settlements.js";

const consumer = ConsumerService.method;
const longestWait = 20_000;
const reserve = 1_000; // of an attempt, for the response
const closeMs = 250; // for the response of a Fetch that is on its way
const shortPause = 50;
const largestFetch = 1_024;

const statuses: { [name: string]: SettleStatus } = { done: SettleStatus.DONE, stale: SettleStatus.STALE, unanswered: SettleStatus.UNANSWERED };

/** ConsumerFetch receives and settles deliveries by single calls, where there is no HTTP/2. */
export class ConsumerFetch {
  private isOver = false;
  private hasFailed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly stop = new AbortController(); // ends a Fetch that waits

  constructor(private readonly context: ConsumerContext) {}

  /** run receives deliveries until the consumer closes and its outcomes are settled. It throws if a call fails. */
  async run(): Promise<void> {
    const { context } = this;
    const settling = this.settle();
    try {
      await Promise.race([this.fetch().catch((error) => this.unlessClosed(error)), settling]);
      await context.handlers.ended();
    } catch (error) {
      this.hasFailed = true;
      throw error;
    } finally {
      this.isOver = true;
      context.handlers.settlements.wake();
    }
    await settling;
  }

  private unlessClosed(error: unknown): void {
    if (!this.stop.signal.aborted) {
      throw error;
    }
  }

  private async fetch(): Promise<void> {
    const { context } = this;
    const { calls, group, leaseMs, handlers } = context;
    handlers.setLease(leaseMs);
    const { attemptTimeoutMs } = calls.settings;
    const longest = Math.min(longestWait, Math.max(attemptTimeoutMs - reserve, attemptTimeoutMs / 2));
    for (let wait = 0; !context.isClosing && !this.isOver; wait = longest) {
      if (handlers.free <= 0) {
        await handlers.settlements.changed();
        continue;
      }
      const askedAt = performance.now();
      const maxDeliveries = Math.min(handlers.free, largestFetch);
      const { deliveries, logId } = await this.answer(calls.once(consumer.fetch, { group, maxDeliveries, wait, lease: leaseMs }, { signal: this.stop.signal }));
      context.live();
      for (const delivery of deliveries) {
        const lease = new Lease(delivery, logId, this);
        if (context.isClosing) {
          handlers.postpone(lease);
        } else {
          handlers.receive(lease);
        }
      }
      if (wait > 0 && deliveries.length === 0 && performance.now() - askedAt < wait) {
        await sleep(shortPause); // whatever answers does not wait
      }
    }
  }

  /** answer returns the response of a Fetch. A close ends one that waits. */
  private async answer<T>(response: Promise<T>): Promise<T> {
    let isOver = false;
    const closing = async () => {
      while (!isOver && !this.context.isClosing) {
        await this.context.handlers.settlements.changed();
      }
      if (!isOver) {
        this.timer = setTimeout(() => this.stop.abort(), closeMs);
      }
    };
    void closing();
    try {
      return await response;
    } finally {
      isOver = true;
      clearTimeout(this.timer);
    }
  }

  /** settle settles outcomes until the link ends. */
  private async settle(): Promise<void> {
    const { settlements } = this.context.handlers;
    while (!this.isOver || settlements.hasQueued) {
      if (settlements.hasQueued) {
        await turn();
        await settleBatch(this.context, settlements.take(), () => !this.hasFailed);
      } else {
        await settlements.changed();
      }
    }
  }
}

/**
 * settleBatch settles by a call, and takes the answers if they are wanted: after a failure the batch is settled anew. If the server refuses a token, the
 * deliveries of the batch are given up: they are delivered again.
 */
export async function settleBatch(
  { calls, group, handlers }: ConsumerContext,
  batch: Settlement[],
  isWanted: () => boolean,
  timeoutMs?: number,
): Promise<void> {
  try {
    const { results } = await calls.repeat(consumer.settle, { group, settlements: batch.map(settlementInput) }, { timeoutMs });
    for (const { token, status } of isWanted() ? results : []) {
      handlers.answer(token, statuses[status] ?? SettleStatus.UNSPECIFIED);
    }
  } catch (error) {
    if (error instanceof ChatcoreError && error.code === "invalid_argument" && error.reason !== "") {
      batch.forEach(({ lease }) => handlers.answer(lease.token, SettleStatus.STALE));
    }
    throw error;
  }
}
