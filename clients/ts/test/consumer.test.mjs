import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { Dead, hasCode, Postpone, Retry } from "../dist/index.js";
import { consumerOf, failure, Group, serveGroup } from "./consumer_server.mjs";

const links = [
  { name: "stream", options: { mode: "stream" }, version: 2 },
  { name: "fetch", options: { mode: "fetch" }, version: 1 },
];
const inOrder = (handled) => {
  const last = new Map();
  for (const [chatId, seq] of handled.map((text) => text.split(" "))) {
    assert.equal(Number(seq), (last.get(chatId) ?? 0) + 1, handled.join());
    last.set(chatId, Number(seq));
  }
};
const gate = () => {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
};

for (const { name, options, version } of links) {
  test(`${name}: handlers of chats run side by side up to the credit, those of a chat in order`, async (t) => {
    const group = new Group();
    const { url, requests } = await serveGroup(t, group, { version });
    let running = 0;
    let most = 0;
    const seen = [];
    const consumer = consumerOf(
      t,
      url,
      async ({ event, attempt, redelivered, epoch, ordinal, logId, stale, appendedAt }) => {
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        running--;
        seen.push([event.chatId, event.seq, event.messageNew.content, event.type, attempt, redelivered, epoch, ordinal, logId, stale, appendedAt instanceof Date]);
      },
      { ...options, credit: 4 },
      { token: "secret" },
    );
    for (let chat = 0; chat < 10; chat++) {
      group.send(`chat-${chat}`, 10);
    }
    await group.until(() => group.lag === 0);
    assert.equal(most, 4);
    inOrder(group.handled);
    assert.deepEqual(seen.find(([chatId, seq]) => chatId === "chat-3" && seq === 2), ["chat-3", 2, "note 2", "message:new", 1, false, 7, 2, "log-1", false, true]);
    assert.ok(requests.every(([, header]) => header === undefined || header === "Bearer secret"));
    assert.equal(consumer.state, "live");
    await consumer.close();
    assert.equal(consumer.state, "closed");
    assert.deepEqual(consumer.states.map(([state]) => state), ["connecting", "live", "closing", "closed"].filter((state, i) => i > 0 || consumer.states[0][0] === state));
    assert.equal(group.settled.length, 100);
  });

  test(`${name}: the outcome is what the handler throws`, async (t) => {
    const group = new Group();
    const { url } = await serveGroup(t, group, { version });
    const thrown = {
      plain: [() => new TypeError("no device"), () => undefined],
      retry: [() => new Retry(1, "later"), () => undefined],
      dead: [() => new Dead("no such user")],
      postponed: [() => new Postpone(1, "warming up"), () => undefined],
      text: [() => "a text", () => undefined],
    };
    const attempts = [];
    const consumer = consumerOf(
      t,
      url,
      ({ event: { chatId }, attempt, redelivered }) => {
        attempts.push([chatId, attempt, redelivered]);
        const error = thrown[chatId].shift()();
        if (error !== undefined) {
          throw error;
        }
      },
      options,
    );
    Object.keys(thrown).forEach((chatId) => group.send(chatId));
    await group.until(() => group.lag === 0);
    assert.deepEqual(group.deadLetters, ["dead 1"]);
    assert.deepEqual(group.settled.map(([outcome, chatId]) => `${chatId} ${outcome}`).sort(), [
      "dead dead", "plain ack", "plain retry", "postponed ack", "postponed postpone", "retry ack", "retry retry", "text ack", "text retry",
    ]);
    assert.deepEqual(attempts.filter(([chatId]) => chatId === "plain"), [["plain", 1, false], ["plain", 2, true]]);
    assert.deepEqual(attempts.filter(([chatId]) => chatId === "postponed"), [["postponed", 1, false], ["postponed", 1, true]]);
    const errors = consumer.errors.map(([error, id]) => `${id} ${error.name ?? error}`).sort();
    assert.deepEqual(errors, ["dead-1 Dead", "plain-1 TypeError", "retry-1 Retry", "text-1 a text"]);
    await consumer.close();
  });

  test(`${name}: a lease is extended while the handler runs, and a lost one is stale`, async (t) => {
    const group = new Group();
    const { url } = await serveGroup(t, group, { version });
    const slow = gate();
    const signals = [];
    const consumer = consumerOf(
      t,
      url,
      async ({ event, signal }) => {
        if (event.chatId === "slow") {
          await slow.opened;
        } else if (signals.push(signal) === 1) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        }
      },
      { ...options, leaseMs: 2_000 },
    );
    group.send("slow");
    const extended = () => group.settled.filter(([outcome, chatId]) => outcome === "extend" && chatId === "slow").length;
    await group.until(() => extended() >= 4); // more than one lease
    slow.open();
    await group.until(() => group.lag === 0);
    assert.ok(group.settled.filter(([, chatId]) => chatId === "slow").every(([, , , status]) => status === "DONE"));

    group.send("taken");
    await group.until(() => group.chats.get("taken").inFlight);
    group.fail(group.chats.get("taken").inFlight); // as if another instance had taken the partition
    await group.until(() => group.lag === 0);
    assert.deepEqual([signals.length, signals[0].aborted, signals[0].reason.reason, signals[1].aborted], [2, true, "stale", false]);
    assert.deepEqual(consumer.stale, ["taken-1"]);
    assert.deepEqual(group.handled, ["slow 1", "taken 1"]);
    await consumer.close();
  });

  test(`${name}: close lets handlers end, settles them, and gives the rest back`, async (t) => {
    const group = new Group();
    const { url, streams } = await serveGroup(t, group, { version });
    const end = gate();
    const begun = [];
    const consumer = consumerOf(t, url, async ({ event }) => (begun.push(event.chatId), await end.opened), { ...options, credit: 2 });
    ["a", "b", "c"].forEach((chatId) => group.send(chatId, 3));
    await group.until(() => begun.length === 2);
    const closed = consumer.close();
    assert.equal(consumer.state, "closing");
    assert.equal(await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 50, "open"))]), "open");
    end.open();
    await closed;
    await consumer.done;
    assert.equal(begun.length, 2);
    assert.deepEqual(group.handled.sort(), begun.map((chatId) => `${chatId} 1`).sort());
    assert.deepEqual([...group.chats.values()].map(({ inFlight, attempt }) => [inFlight, attempt]), Array(3).fill([undefined, 1]));
    if (version === 2) {
      await group.until(() => streams[0].closed);
      assert.equal(streams.length, 1);
    }
  });

  test(`${name}: close with a bound gives back what runs, without an attempt`, async (t) => {
    const group = new Group();
    const { url } = await serveGroup(t, group, { version });
    const begun = gate();
    let aborted;
    const stop = new AbortController();
    const consumer = consumerOf(
      t,
      url,
      ({ signal }) => {
        begun.open();
        return new Promise((resolve, reject) => signal.addEventListener("abort", () => ((aborted = signal.reason), reject(signal.reason))));
      },
      { ...options, signal: stop.signal },
    );
    group.send("a");
    await begun.opened;
    stop.abort();
    assert.equal(consumer.state, "closing");
    await consumer.close({ timeoutMs: 10 });
    assert.ok(hasCode(aborted, "canceled"));
    await group.until(() => group.chats.get("a").inFlight === undefined);
    assert.deepEqual([group.chats.get("a").attempt, group.chats.get("a").next, consumer.errors.length], [1, 1, 0]);
  });

  test(`${name}: errors that no retry helps against end the consumer`, async (t) => {
    let error = failure(Code.PermissionDenied, "scope");
    const fail = () => {
      throw error;
    };
    const { url, requests } = await serveGroup(t, new Group(), { version, hooks: { consume: fail, fetch: fail } });
    const refused = consumerOf(t, url, () => {}, options);
    await assert.rejects(refused.done, { name: "ChatcoreError", code: "permission_denied", reason: "scope" });
    assert.equal(refused.state, "closed");
    await refused.close();
    assert.equal(requests.length, 1);

    for (const [code, reason] of [[Code.NotFound, "group_not_found"], [Code.FailedPrecondition, "not_a_pull_group"], [Code.InvalidArgument, "invalid"]]) {
      error = failure(code, reason);
      requests.length = 1;
      await assert.rejects(consumerOf(t, url, () => {}, options).done, { reason });
      assert.equal(requests.length, 2);
    }
    requests.length = 1;
    error = failure(Code.Unauthenticated, "unauthenticated");
    const tokens = ["old", "new"];
    const renewed = consumerOf(t, url, () => {}, options, { token: () => tokens.shift() });
    await assert.rejects(renewed.done, { code: "unauthenticated" });
    assert.deepEqual(requests.slice(1).map(([, header]) => header), ["Bearer old", "Bearer new"]);
    await assert.rejects(consumerOf(t, url, () => {}, options, { token: "old" }).done, { code: "unauthenticated" });
    assert.equal(requests.length, 4);
  });

  test(`${name}: a settlement that is not answered is made again`, async (t) => {
    const group = new Group();
    let lost = 2;
    const { url } = await serveGroup(t, group, { version, hooks: { settle: (settlements) => (lost-- > 0 ? group.unanswered(settlements) : undefined) } });
    const consumer = consumerOf(t, url, () => {}, options);
    group.send("a", 2);
    await group.until(() => group.lag === 0);
    await consumer.close();
    assert.deepEqual([lost <= 0, group.handled, consumer.stale], [true, ["a 1", "a 2"], []]);
  });

  test(`${name}: another instance is used when one fails, and nothing is handled twice`, async (t) => {
    const group = new Group();
    const first = await serveGroup(t, group, { version });
    const second = await serveGroup(t, group, { version });
    const handled = [];
    const consumer = consumerOf(t, [first.url, second.url], ({ event }) => handled.push(`${event.chatId} ${event.seq}`), options);
    group.send("a", 3);
    await group.until(() => group.lag === 0);
    await first.stop();
    group.send("a", 3);
    await group.until(() => group.lag === 0);
    inOrder(handled);
    assert.ok(second.requests.length > 0);
    assert.ok(consumer.states.some(([state, code]) => state === "waiting" && code === "unavailable"));
    await consumer.close();
  });
}

test("settlements of a turn are one message", async (t) => {
  const group = new Group();
  const { url } = await serveGroup(t, group);
  const all = gate();
  let begun = 0;
  const consumer = consumerOf(t, url, async () => (++begun === 50 && all.open(), await all.opened), { credit: 50 });
  for (let chat = 0; chat < 50; chat++) {
    group.send(`chat-${chat}`);
  }
  await group.until(() => group.lag === 0);
  assert.deepEqual(group.batches, [50]);
  await consumer.close();
});

test("settlements whose answers are lost are sent again, and have their answers", async (t) => {
  const group = new Group();
  const hooks = { settle: (settlements, link) => (link.requests.length === 1 && link === server.streams[0] ? (group.settle(settlements), setImmediate(server.cut), []) : undefined) };
  const server = await serveGroup(t, group, { hooks });
  const consumer = consumerOf(t, server.url, () => {});
  group.send("a");
  await group.until(() => group.settled.length === 2);
  await consumer.close();
  assert.deepEqual(group.handled, ["a 1"]);
  assert.deepEqual(consumer.stale, []);
  assert.deepEqual(group.settled, [["ack", "a", 1, "DONE"], ["ack", "a", 1, "DONE"]]);
});

test("a stream that breaks aborts its handlers, and the event is handled again after them", async (t) => {
  const group = new Group();
  const server = await serveGroup(t, group);
  const calls = [];
  let running = 0;
  const end = gate();
  const consumer = consumerOf(t, server.url, async ({ attempt, signal }) => {
    assert.equal(++running, 1); // never two of an event
    calls.push([attempt, signal]);
    if (calls.length === 1) {
      await end.opened;
    }
    running--;
  });
  group.send("a");
  await group.until(() => calls.length === 1);
  server.cut();
  await group.until(() => server.streams.length === 2 && group.chats.get("a").inFlight);
  assert.deepEqual([calls.length, calls[0][1].aborted, calls[0][1].reason.code], [1, true, "unavailable"]);
  end.open();
  await group.until(() => group.lag === 0);
  assert.deepEqual(calls.map(([attempt, { aborted }]) => [attempt, aborted]), [[1, true], [2, false]]);
  await consumer.close();
  assert.deepEqual(consumer.stale, ["a-1"]); // the first handler's ack came too late
});

test("handlers of a stream that broke take credit of the next one until they end", async (t) => {
  const group = new Group();
  const server = await serveGroup(t, group);
  const end = gate();
  let begun = 0;
  const consumer = consumerOf(t, server.url, async () => (++begun <= 3 ? await end.opened : undefined), { credit: 4 });
  ["a", "b", "c"].forEach((chatId) => group.send(chatId));
  await group.until(() => begun === 3);
  server.cut();
  await group.until(() => server.streams[1]?.start);
  assert.equal(server.streams[1].start.credit, 1);
  end.open();
  await group.until(() => server.streams[1].credit === 4 && group.lag === 0);
  await consumer.close();
});

test("a server that stops, pauses the group, or is silent is left, and its deliveries come again", async (t) => {
  const group = new Group();
  const server = await serveGroup(t, group);
  const consumer = consumerOf(t, server.url, () => {});
  const ends = [failure(Code.Unavailable, "stopping"), failure(Code.FailedPrecondition, "group_paused"), failure(Code.Internal)];
  for (const [i, end] of ends.entries()) {
    await group.until(() => server.streams[i]?.start);
    server.streams[i].end = end;
    group.wake();
  }
  group.send("a");
  await group.until(() => group.lag === 0);
  await consumer.close();
  assert.equal(server.streams.length, 4);
  assert.deepEqual(consumer.states.filter(([state]) => state === "waiting").map(([, code]) => code), ["unavailable", "failed_precondition", "unavailable"]);
});

test("without HTTP/2 the events are fetched, and a server that comes back with it has a stream", async (t) => {
  const group = new Group();
  const old = await serveGroup(t, group, { version: 1 });
  const consumer = consumerOf(t, old.url, () => {}, {}, { attemptTimeoutMs: 500 });
  group.send("a", 2);
  await group.until(() => group.lag === 0);
  assert.equal(old.requests[0][0], "fetch");
  await old.stop();
  const { streams } = await serveGroup(t, group, { port: old.port });
  group.send("a");
  await group.until(() => group.lag === 0);
  assert.equal(streams.length, 1);
  await consumer.close();
});

test("wrong options are refused", () => {
  const consume = (group, handler, options) => consumerOf({ after() {} }, "http://127.0.0.1:1", handler, options);
  for (const [field, options] of [["credit", { credit: 0 }], ["credit", { credit: 5000 }], ["leaseMs", { leaseMs: 10 }], ["mode", { mode: "poll" }], ["consumer", { name: 7 }]]) {
    assert.throws(() => consume("push", () => {}, options), { code: "invalid_argument", field });
  }
  assert.throws(() => consume("push", undefined, {}), { code: "invalid_argument", field: "handler" });
});

test("the reason of a dead letter has at most 1,024 bytes, and no broken character", async (t) => {
  const group = new Group();
  const reasons = [];
  const { url } = await serveGroup(t, group, { hooks: { settle: (settlements) => void reasons.push(...settlements.map(({ outcome }) => outcome.value.reason)) } });
  const texts = ["é".repeat(600), "\ud800 half", "x".repeat(2000)];
  const consumer = consumerOf(t, url, ({ event }) => {
    throw new Dead(texts[event.seq - 1]);
  });
  group.send("a", 3);
  await group.until(() => group.lag === 0);
  await consumer.close();
  assert.deepEqual(reasons, ["é".repeat(512), "\ufffd half", "x".repeat(1024)]);
});
