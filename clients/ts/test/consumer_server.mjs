// A server of one pull group that keeps its rules: one delivery of a chat in flight, attempts, leases, epochs, tokens. It fails as a test says.
import http from "node:http";
import http2 from "node:http2";
import { once } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { durationFromMs, durationMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { createClient } from "../dist/index.js";
import { ErrorDetailSchema } from "../dist/gen/chatcore/v1/errors_pb.js";
import { ConsumerService, SettleStatus } from "../dist/gen/chatcore/consumer/v1/consumer_pb.js";

export const failure = (code, reason, fields) => new ConnectError("refused", code, undefined, reason ? [{ desc: ErrorDetailSchema, value: { reason, ...fields } }] : []);

const patience = 60; // leases end later than they say, so that a busy machine loses none

/** Group is a pull group with a log. */
export class Group {
  chats = new Map(); // id → { next: seq, head, attempt, inFlight, notBefore }
  tokens = new Map(); // token → delivery
  handled = []; // "chat seq" in the order of their acks
  deadLetters = [];
  settled = []; // all settlements: [outcome, chat, seq, status]
  batches = []; // number of settlements of each message
  pauseMs = 5;
  epoch = 7n;
  #dispatch = 0;
  #waiting = [];

  send(chatId, count = 1) {
    const chat = this.chats.get(chatId) ?? { chatId, next: 1, head: 0, attempt: 1, inFlight: undefined, notBefore: 0, redelivered: false };
    this.chats.set(chatId, chat);
    chat.head += count;
    this.wake();
  }
  wake() {
    this.#waiting.splice(0).forEach((f) => f());
  }
  changed(ms = 20) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms); // leases and pauses end without a wake
      this.#waiting.push(() => (clearTimeout(timer), resolve()));
    });
  }
  get lag() {
    return [...this.chats.values()].reduce((sum, chat) => sum + chat.head - chat.next + 1, 0);
  }
  async until(condition) {
    while (!condition()) {
      await this.changed();
    }
  }
  /** take leases deliveries to a link. */
  take(link, count, leaseMs) {
    const deliveries = [];
    this.expire();
    for (const chat of this.chats.values()) {
      if (deliveries.length < count && !chat.inFlight && chat.next <= chat.head && chat.notBefore <= Date.now()) {
        const token = `token-${++this.#dispatch}`;
        chat.inFlight = { token, chat, link, seq: chat.next, leaseMs, until: Date.now() + leaseMs * patience };
        this.tokens.set(token, chat.inFlight);
        deliveries.push({
          token, ordinal: chat.next, attempt: chat.attempt, redelivered: chat.redelivered, epoch: this.epoch, appendedAt: timestampNow(), leaseUntil: timestampNow(),
          event: {
            id: `${chat.chatId}-${chat.next}`, chatId: chat.chatId, seq: chat.next, type: "message:new", actorId: "ada",
            event: { case: "messageNew", value: { messageId: `m${chat.next}`, content: `note ${chat.next}` } },
          },
        });
        chat.redelivered = true;
      }
    }
    return deliveries;
  }
  expire() {
    for (const { inFlight } of this.chats.values()) {
      if (inFlight && inFlight.until <= Date.now()) {
        this.fail(inFlight);
      }
    }
  }
  fail(delivery, ms = this.pauseMs) {
    delivery.chat.inFlight = undefined;
    delivery.chat.attempt++;
    delivery.chat.notBefore = Date.now() + ms;
  }
  giveBack(link) {
    this.#ofLink(link).forEach((delivery) => (delivery.chat.inFlight = undefined));
    this.wake();
  }
  break(link) {
    this.#ofLink(link).forEach((delivery) => this.fail(delivery));
    this.wake();
  }
  #ofLink(link) {
    return [...this.chats.values()].flatMap(({ inFlight }) => (inFlight?.link === link ? [inFlight] : []));
  }
  unsettled(link) {
    return this.#ofLink(link).length;
  }
  /** unanswered returns the answers of an instance that cannot reach the one of the deliveries. */
  unanswered(settlements) {
    return settlements.map(({ token }) => ({ token, status: SettleStatus.UNANSWERED }));
  }
  settle(settlements) {
    this.expire();
    this.batches.push(settlements.length);
    const results = settlements.map(({ token, outcome }, i) => {
      const delivery = this.tokens.get(token);
      if (!delivery) {
        throw failure(Code.InvalidArgument, "invalid", { field: `settlements[${i}].token` });
      }
      const status = this.#apply(delivery, outcome);
      this.settled.push([outcome.case, delivery.chat.chatId, delivery.seq, SettleStatus[status]]);
      return { token, status };
    });
    this.wake();
    return results;
  }
  #apply(delivery, { case: outcome, value }) {
    const { chat } = delivery;
    if (delivery.settled) {
      return delivery.settled === outcome ? SettleStatus.DONE : SettleStatus.STALE;
    }
    if (chat.inFlight !== delivery) {
      return SettleStatus.STALE;
    }
    const afterMs = value.after ? durationMs(value.after) : undefined;
    switch (outcome) {
      case "extend":
        delivery.until = Date.now() + delivery.leaseMs * patience;
        return SettleStatus.DONE;
      case "retry":
        this.fail(delivery, afterMs);
        break;
      case "postpone":
        chat.inFlight = undefined;
        chat.notBefore = Date.now() + (afterMs ?? 1000);
        break;
      default:
        (outcome === "ack" ? this.handled : this.deadLetters).push(`${chat.chatId} ${delivery.seq}`);
        Object.assign(chat, { inFlight: undefined, next: chat.next + 1, attempt: 1, redelivered: false });
    }
    delivery.settled = outcome;
    return SettleStatus.DONE;
  }
}

/** serveGroup serves a group over HTTP/2, or over HTTP/1.1 alone. hooks may throw, or change what is done. */
export async function serveGroup(t, group, { version = 2, hooks = {}, port = 0 } = {}) {
  let stopped = false;
  const streams = [];
  const requests = [];
  const routes = (router) =>
    router.service(ConsumerService, {
      async *consume(messages, { requestHeader, signal }) {
        const link = { credit: 0, ended: false, closed: false, requests: [] };
        streams.push(link);
        requests.push(["consume", requestHeader.get("Authorization")]);
        await hooks.consume?.(link, streams.length);
        const answers = [];
        const iterator = messages[Symbol.asyncIterator]();
        const { value: first } = await iterator.next();
        const start = first.message.value;
        link.start = start;
        link.credit = start.credit;
        const leaseMs = durationMs(start.lease);
        yield { message: { case: "started", value: { logId: "log-1", lease: start.lease } } };
        const reading = (async () => {
          for (let next; !(next = await iterator.next()).done; group.wake()) {
            const { case: kind, value } = next.value.message;
            link.requests.push(kind);
            if (kind === "credit") {
              link.credit = value.credit;
            } else {
              answers.push(...(hooks.settle?.(value.settlements, link) ?? group.settle(value.settlements)));
            }
          }
          link.ended = true;
          group.giveBack(link);
        })();
        reading.catch((error) => {
          link.error = error;
          group.break(link);
        });
        while (!link.ended && !link.error && !signal.aborted) {
          if (link.end) {
            group.giveBack(link);
            throw link.end;
          }
          const deliveries = link.credit > 0 && !link.silent ? group.take(link, link.credit - group.unsettled(link), leaseMs) : [];
          if (deliveries.length > 0) {
            yield { message: { case: "deliveries", value: { deliveries } } };
          } else if (answers.length > 0 && !link.mute) {
            yield { message: { case: "settled", value: { results: answers.splice(0) } } };
          } else {
            await group.changed();
          }
        }
        if (!link.ended) {
          group.break(link);
          throw link.error ?? failure(Code.Canceled);
        }
        if (answers.length > 0) {
          yield { message: { case: "settled", value: { results: answers } } };
        }
        link.closed = true;
      },
      async fetch(request, { requestHeader, signal }) {
        requests.push(["fetch", requestHeader.get("Authorization")]);
        await hooks.fetch?.(request, requests.length);
        const end = Date.now() + durationMs(request.wait ?? durationFromMs(0));
        for (;;) {
          const deliveries = signal.aborted || stopped ? [] : group.take(undefined, request.maxDeliveries, durationMs(request.lease));
          if (signal.aborted || stopped || deliveries.length > 0 || Date.now() >= end) {
            return { deliveries, logId: "log-1" };
          }
          await group.changed();
        }
      },
      async settle(request) {
        requests.push(["settle"]);
        await hooks.settleCall?.(request);
        return { results: hooks.settle?.(request.settlements) ?? group.settle(request.settlements) };
      },
    });
  const server = version === 2 ? http2.createServer(connectNodeAdapter({ routes })) : http.createServer(connectNodeAdapter({ routes }));
  const sessions = new Set();
  server.on(version === 2 ? "session" : "connection", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const cut = () => sessions.forEach((session) => session.destroy());
  const stop = async () => {
    stopped = true;
    server.close();
    cut();
  };
  t.after(stop);
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port, streams, requests, cut, stop };
}

/** consumerOf returns a consumer that closes with the test, and the errors that it reports. */
export function consumerOf(t, url, handler, options = {}, clientOptions = {}) {
  const errors = [];
  const stale = [];
  const states = [];
  const consumer = createClient({ url, ...clientOptions }).consume("push", handler, {
    onError: (error, delivery) => errors.push([error, delivery?.event.id]),
    onStale: (delivery) => stale.push(delivery.event.id),
    onStateChange: (state, error) => states.push([state, error?.code]),
    ...options,
  });
  t.after(() => consumer.close({ timeoutMs: 0 }));
  consumer.done.catch(() => {});
  return Object.assign(consumer, { errors, stale, states });
}
