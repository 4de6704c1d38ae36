import type { Transport } from "@connectrpc/connect";
import { within } from "./calls.js";
import { toPlain } from "./convert.js";
import type { ConsumerContext } from "./consumer_context.js";
import { Lease } from "./delivery.js";
import { ChatcoreError } from "./errors.js";
import { ConsumerService, DeliverySchema, type ConsumeResponse } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { settlementMessage } from "./settlements.js";

type Request = { message: { case: "start" | "settle" | "credit"; value: object } };

const silenceMs = 45_000; // three heartbeats
const endMs = 5_000; // from the end of the consumer's side to that of the server's

/** ConsumerStream is one stream of Consume. */
export class ConsumerStream {
  /** Whether the server has begun the stream. */
  started = false;

  private logId = "";
  private credit = 0;
  private isOver = false;
  private readonly stop = new AbortController();
  private endTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly context: ConsumerContext,
    private readonly transport: Transport,
  ) {}

  /** run receives deliveries until the consumer closes and its outcomes are settled. It throws if the stream ends before. */
  async run(): Promise<void> {
    const { context, stop } = this;
    const { handlers } = context;
    try {
      const { consume } = ConsumerService.method;
      const headers = await context.calls.streamHeaders();
      const response = await within(context.startMs, this.transport.stream(consume, stop.signal, undefined, headers, this.requests() as never));
      const messages = response.message[Symbol.asyncIterator]();
      for (;;) {
        const { done, value } = await within(this.started ? silenceMs : context.startMs, messages.next());
        if (done) {
          break;
        }
        this.receive(value);
      }
      if (!context.isClosing || !handlers.isIdle) {
        throw new ChatcoreError("unavailable", "the server ended the stream without an error");
      }
    } finally {
      this.isOver = true;
      clearTimeout(this.endTimer);
      stop.abort();
      handlers.settlements.wake(); // ends requests
    }
  }

  private async *requests(): AsyncGenerator<Request, void, undefined> {
    const { group, leaseMs, name, handlers } = this.context;
    this.credit = this.wantedCredit();
    yield { message: { case: "start", value: { group, credit: this.credit, lease: durationFromMs(leaseMs), consumer: name } } };
    while (!this.isOver) {
      const credit = this.wantedCredit();
      if (credit !== this.credit) {
        this.credit = credit;
        yield { message: { case: "credit", value: { credit } } };
      } else if (handlers.settlements.hasQueued) {
        yield { message: { case: "settle", value: { settlements: handlers.settlements.take().map(settlementMessage) } } };
      } else if (this.context.isClosing && handlers.isIdle) {
        this.endTimer = setTimeout(() => this.stop.abort(), endMs);
        return;
      } else {
        await handlers.settlements.changed();
        await turn();
      }
    }
  }

  /** wantedCredit returns the credit of the stream. Handlers of earlier streams take a part of it while they run. */
  private wantedCredit(): number {
    return this.context.isClosing && this.started ? 0 : Math.max(1, this.context.handlers.room(this));
  }

  private receive({ message }: ConsumeResponse): void {
    const { context } = this;
    switch (message.case) {
      case "started":
        this.started = true;
        this.logId = message.value.logId;
        context.handlers.setLease(message.value.lease ? durationMs(message.value.lease) : context.leaseMs);
        context.live();
        return;
      case "deliveries":
        for (const delivery of message.value.deliveries) {
          if (!context.isClosing) {
            context.handlers.receive(new Lease(toPlain(DeliverySchema, delivery), this.logId, this));
          } // otherwise the end of the stream returns it to the group
        }
        return;
      case "settled":
        for (const { token, status } of message.value.results) {
          context.handlers.answer(token, status);
        }
    }
  }
}

declare const setImmediate: (f: () => void) => void;

/** turn waits for the end of the present turn, whose handlers settle in one message. */
export function turn(): Promise<void> {
  return new Promise((resolve) => (typeof setImmediate === "function" ? setImmediate(resolve) : setTimeout(resolve)));
}
