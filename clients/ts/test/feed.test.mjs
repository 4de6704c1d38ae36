import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { ChatcoreError, createClient } from "../dist/index.js";
import { brief, event, feedOf, garden, serveFeeds, started, take } from "./feed_server.mjs";

const events = (chatId, from, to) => Array.from({ length: to - from + 1 }, (_, i) => event(chatId, from + i));
const texts = (chatId, from, to) => brief(events(chatId, from, to).map(({ event }) => ({ kind: "event", ...event })));
const breaks = {
  "a cut in the middle of a message": (stream) => stream.cut(),
  "an end in the middle of a message": (stream) => stream.stop(),
  "an end without a status": (stream) => stream.response.end(),
  "a cut before the first message": (stream) => stream.response.destroy(),
  "an end without an error": (stream) => stream.end(),
  "unavailable": (stream) => stream.end("unavailable", "draining"),
  "a slow reader": (stream) => stream.end("resource_exhausted", "slow_feed"),
  "an error without the reason of a server": (stream) => stream.end("data_loss"),
  "internal": (stream) => stream.end("internal", "internal"),
  "garbage": (stream) => stream.raw(Buffer.from([0, 0, 0, 0, 3, 1, 2, 3])),
  "a status of a proxy": (stream) => stream.response.writeHead(502, { "Content-Type": "text/html" }).end("<html>"),
  "a missing page of a proxy": (stream) => stream.response.writeHead(404, { "Content-Type": "text/html" }).end("<html>"),
  "another content type": (stream) => stream.response.writeHead(200, { "Content-Type": "text/html" }).end("<html>"),
};
for (const [name, fail] of Object.entries(breaks)) {
  test(`a feed resumes from its position after ${name}`, async (t) => {
    const early = ["a status of a proxy", "a missing page of a proxy", "another content type", "a cut before the first message"].includes(name);
    const { url, streams } = await serveFeeds(t, (stream, n) => {
      const next = (stream.afterSeqs.garden ?? 0) + 1;
      if (n % 2 === 1 && early) {
        return fail(stream);
      }
      stream.send(started(), ...events("garden", next, next + 1));
      (early ? breaks["unavailable"] : fail)(stream);
    });
    const feed = feedOf(t, url);
    assert.deepEqual(brief(await take(feed, 6)), texts("garden", 1, 6));
    assert.deepEqual(feed.position, { logId: "log-1", chats: { garden: 6 }, allChats: false });
    assert.equal(streams.at(-1).request.logId, "log-1");
  });
}

test("events that come again are dropped, and a jump of the seqs begins the stream anew", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    switch (n) {
      case 1:
        return stream.send(started(), ...events("garden", 1, 3), ...events("garden", 2, 4), event("garden", 6), event("garden", 7));
      case 2:
        return stream.send(started(), { caughtUp: { chatId: "garden", seq: 9 } });
      case 3:
        return stream.send(started(), { skipped: { chatId: "garden", fromSeq: 7, toSeq: 9 } });
      default:
        stream.send(started(), { skipped: { chatId: "garden", fromSeq: 3, toSeq: 6 } }, ...events("garden", 5, 8),
          { skipped: { chatId: "garden", fromSeq: 9, toSeq: 9, private: true } }, event("garden", 10), { caughtUp: { chatId: "garden", seq: 10 } });
    }
  });
  const feed = feedOf(t, url);
  const messages = await take(feed, 9);
  assert.deepEqual(brief(messages), [...texts("garden", 1, 4), "skipped garden 6", "garden 7", "garden 8", "garden 10", "caughtUp garden 10"]);
  assert.deepEqual(messages[4], { kind: "skipped", chatId: "garden", fromSeq: 5, toSeq: 6, private: false });
  assert.deepEqual(streams.map((stream) => stream.afterSeqs.garden ?? 0), [0, 4, 4, 4]);
});

test("random faults leave every event once and in order", async (t) => {
  const heads = { garden: 150, kitchen: 90, __proto__: 0 };
  const chats = ["garden", "kitchen", "__proto__"];
  let seed = 7;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const { url } = await serveFeeds(t, async (stream) => {
    stream.send(started());
    const next = Object.fromEntries((stream.request.chats ?? []).map(({ chatId, afterSeq }) => [chatId, (afterSeq ?? 0) + 1]));
    for (let i = 0; i < 120; i++) {
      const chatId = chats[random(chats.length)];
      const head = chatId === "__proto__" ? 60 : heads[chatId];
      const seq = next[chatId] - random(3) + (random(40) === 0 ? 1 : 0); // again, next, or too far
      if (seq >= 1 && seq <= head) {
        stream.send(event(chatId, seq));
        next[chatId] = Math.max(next[chatId], seq + 1);
      }
      if (random(80) === 0) {
        return Object.values(breaks)[random(8)](stream);
      }
    }
    stream.cut();
  });
  const feed = feedOf(t, url, { chats: chats.map((chatId) => ({ chatId, afterSeq: 0 })) });
  const messages = brief(await take(feed, 300));
  assert.deepEqual(messages.filter((m) => m.startsWith("garden")), texts("garden", 1, 150));
  assert.deepEqual(messages.filter((m) => m.startsWith("kitchen")), texts("kitchen", 1, 90));
  assert.deepEqual(messages.filter((m) => m.startsWith("__proto__")), texts("__proto__", 1, 60));
  const kept = JSON.parse(JSON.stringify(feed.position));
  assert.deepEqual(Object.entries(kept.chats).sort(), [["__proto__", 60], ["garden", 150], ["kitchen", 90]]);
});

for (const [code, reason] of [["permission_denied", "scope_missing"], ["permission_denied", ""], ["not_found", "chat_not_found"], ["invalid_argument", "invalid"], ["data_loss", "log_lost"], ["unauthenticated", "unauthenticated"], ["unauthenticated", ""]]) {
  test(`a feed ends with ${code} ${reason}, after the messages before it`, async (t) => {
    const { url, streams } = await serveFeeds(t, (stream) => {
      stream.send(started(), event("garden", 1));
      stream.end(code, reason);
    });
    const states = [];
    const feed = feedOf(t, url, { ...garden, onStateChange: (state, error) => states.push([state, error?.code]) }, { token: "static" });
    const seen = [];
    await assert.rejects(
      async () => {
        for await (const message of feed) {
          seen.push(message);
        }
      },
      (error) => error instanceof ChatcoreError && error.code === code && error.reason === reason,
    );
    assert.deepEqual([brief(seen), streams.length, feed.state], [["garden 1"], 1, "closed"]);
    assert.deepEqual(await feed.next(), { done: true, value: undefined });
    assert.deepEqual(states, [["live", undefined], ["closed", code]]);
  });
}

test("an unauthenticated asks for the token once again", async (t) => {
  let tokens = 0;
  const { url, headers } = await serveFeeds(t, (stream, n) => {
    if (n === 1 || n === 4 || n === 5) {
      return stream.end("unauthenticated", "unauthenticated");
    }
    stream.send(started(), event("garden", n - 1));
    stream.end(n === 2 ? "unauthenticated" : "unavailable", "unauthenticated");
  });
  const feed = feedOf(t, url, garden, { token: async () => `token-${++tokens}` });
  assert.deepEqual(brief(await take(feed, 2)), texts("garden", 1, 2));
  await assert.rejects(feed.next(), { code: "unauthenticated" });
  assert.deepEqual(headers.map((h) => h.authorization), [1, 2, 3, 4, 5].map((n) => `Bearer token-${n}`));
});

test("a token that cannot be had for a while is waited for", async (t) => {
  const { url } = await serveFeeds(t, (stream) => stream.send(started(), event("garden", 1)));
  let failures = 2;
  const causes = [];
  const feed = feedOf(t, url, { ...garden, onStateChange: (_, error) => error && causes.push(error.cause?.message) }, {
    token: () => {
      if (failures-- > 0) {
        throw new Error("no network");
      }
      return "token";
    },
  });
  assert.deepEqual(brief(await take(feed, 1)), ["garden 1"]);
  assert.deepEqual(causes, ["no network", "no network"]);
});

test("instances are tried in turn, by feeds and by calls", async (t) => {
  const instance = (name) =>
    serveFeeds(t, (stream, n) => {
      const next = (stream.afterSeqs.garden ?? 0) + 1;
      stream.send(started(), event("garden", next));
      stream.end("unavailable", "draining");
    });
  const [a, b] = [await instance("a"), await instance("b")];
  const feed = feedOf(t, [a.url, b.url]);
  assert.deepEqual(brief(await take(feed, 5)), texts("garden", 1, 5));
  feed.close();
  assert.ok(Math.abs(a.streams.length - b.streams.length) <= 1, `${a.streams.length} and ${b.streams.length}`);

  const visited = [];
  const client = createClient({
    url: ["http://a", "http://b", "http://c"],
    fetch: async (url) => {
      visited.push(new URL(url).host);
      if (visited.length < 3) {
        throw new TypeError("fetch failed");
      }
      return Response.json({});
    },
  });
  await client.messages.send({ chatId: "garden" });
  await client.messages.send({ chatId: "garden" });
  assert.deepEqual(visited, ["a", "b", "c", "c"]);
  assert.equal(new URL(client.feedURL({ allChats: true })).host, "c");
  assert.throws(() => createClient({ url: [] }), { field: "url" });
});

test("the stream is not read while the reader is busy", async (t) => {
  let sent = 0;
  const content = "x".repeat(64 * 1024);
  const { url } = await serveFeeds(t, async (stream) => {
    stream.send(started());
    while (sent < 4_000) {
      const message = event("garden", ++sent);
      message.event.messageNew.content = content;
      if (!stream.send(message)) {
        await once(stream.response, "drain");
      }
    }
  });
  const feed = feedOf(t, url);
  let before;
  do {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  } while (sent === 0 || sent > before);
  assert.ok(sent < 1_500, `${sent} messages of 64 KiB were sent to a reader that takes none`);
  assert.deepEqual(brief(await take(feed, 4_000)), texts("garden", 1, 4_000));
});

test("chats are added and removed, with one new stream for changes of 50 ms", async (t) => {
  const heads = { garden: 1, kitchen: 5, cellar: 9 };
  const { url, streams } = await serveFeeds(t, (stream) => {
    stream.send(started(), ...Object.entries(stream.afterSeqs).flatMap(([chatId, seq]) => events(chatId, (seq ?? heads[chatId]) + 1, heads[chatId])));
  });
  const feed = feedOf(t, url, { chats: [] });
  feed.add("garden", 0);
  feed.add("kitchen", 4);
  feed.add("garden", 7); // is followed already
  assert.deepEqual(brief(await take(feed, 2)).sort(), ["garden 1", "kitchen 5"]);
  feed.add("cellar");
  feed.remove("garden");
  Object.assign(heads, { garden: 2, kitchen: 7 });
  streams[0].send(event("garden", 2), event("kitchen", 6));
  assert.deepEqual(brief(await take(feed, 2)), texts("kitchen", 6, 7));
  streams[1].send(event("garden", 3), event("cellar", 10));
  assert.deepEqual(brief(await take(feed, 1)), ["cellar 10"]);
  assert.deepEqual(streams.map((stream) => Object.keys(stream.afterSeqs)), [["garden", "kitchen"], ["kitchen", "cellar"]]);
  assert.equal(streams[1].afterSeqs.cellar, undefined);
  assert.deepEqual(feed.position.chats, { kitchen: 7, cellar: 10 });
});

test("a chat that is removed and added again has none of the messages before", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    stream.send(started(), ...(n === 1 ? events("garden", 1, 3) : [{ caughtUp: { chatId: "garden", seq: 10 } }, event("garden", 11)]));
  });
  const feed = feedOf(t, url);
  assert.deepEqual(brief(await take(feed, 1)), ["garden 1"]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  feed.remove("garden"); // 2 and 3 wait
  feed.add("garden");
  streams[0].send(event("garden", 4));
  assert.deepEqual(brief(await take(feed, 2)), ["caughtUp garden 10", "garden 11"]);
  assert.equal(streams.length, 2);
});

test("more than 1,000 chats have several streams, in which a status comes once", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream) => stream.send(started()));
  const ids = Array.from({ length: 2_500 }, (_, i) => `chat-${i}`);
  const feed = feedOf(t, url, { chats: ids.map((chatId) => ({ chatId, afterSeq: 0 })) });
  while (streams.length < 3) {
    await new Promise(setImmediate);
  }
  assert.deepEqual(streams.map((stream) => stream.request.chats.length).sort(), [1000, 1000, 500]);
  assert.deepEqual(new Set(streams.flatMap((stream) => Object.keys(stream.afterSeqs))), new Set(ids));
  for (const stream of streams) {
    stream.send({ userStatus: { userId: "ben", status: "STATUS_AWAY" } }, ...Object.keys(stream.afterSeqs).map((chatId) => event(chatId, 1)));
  }
  const messages = await take(feed, 2_501);
  assert.equal(messages.filter((m) => m.kind === "userStatus").length, 1);
  assert.equal(new Set(messages.map((m) => m.chatId)).size, 2_501);
  for (const stream of streams) {
    stream.cut();
  }
  while (streams.length < 6) {
    await new Promise(setImmediate);
  }
  assert.ok(streams.slice(3).every((stream) => Object.values(stream.afterSeqs).every((seq) => seq === 1)));
});

test("a feed of all chats resumes with all positions, once it has them", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    switch (n) {
      case 1: // breaks before all heads have come
        stream.send(started(), { caughtUp: { chatId: "garden", seq: 3 } });
        return stream.cut();
      case 2:
        return stream.send(started(), { caughtUp: { chatId: "garden", seq: 3 } }, { caughtUp: { chatId: "kitchen", seq: 5 } }, event("kitchen", 6));
      default:
        stream.send(started(), event("kitchen", 7));
    }
  });
  const feed = feedOf(t, url, { allChats: true });
  assert.deepEqual(brief(await take(feed, 1)), ["caughtUp garden 3"]);
  assert.deepEqual(feed.position, { logId: "log-1", chats: { garden: 3 }, allChats: false });
  assert.deepEqual(brief(await take(feed, 2)), ["caughtUp kitchen 5", "kitchen 6"]);
  const next = take(feed, 4);
  while (!feed.position.allChats) {
    await new Promise((resolve) => setTimeout(resolve, 10)); // nothing has come for a while
  }
  streams[1].send({ chatJoined: { chatId: "cellar", seq: 1 } }, event("cellar", 2), event("garden", 4), { chatLeft: { chatId: "garden", seq: 4 } });
  assert.deepEqual(brief(await next), ["chatJoined cellar 1", "cellar 2", "garden 4", "chatLeft garden 4"]);
  streams[1].cut();
  assert.deepEqual(brief(await take(feed, 1)), ["kitchen 7"]);
  assert.deepEqual(feed.position, { logId: "log-1", chats: { kitchen: 7, cellar: 2 }, allChats: true });
  assert.deepEqual(streams.map((s) => [s.request.allChats, s.request.resume ?? false, s.afterSeqs]), [
    [true, false, {}], [true, false, { garden: 3 }], [true, true, { kitchen: 6, cellar: 2 }],
  ]);
  const later = feedOf(t, url, { allChats: true, resume: JSON.parse(JSON.stringify(feed.position)) });
  while (streams.length < 4) {
    await new Promise(setImmediate);
  }
  assert.deepEqual([streams[3].request.resume, streams[3].request.logId, streams[3].afterSeqs], [true, "log-1", { kitchen: 7, cellar: 2 }]);
  later.close();
});

test("a feed of all chats without a pause knows all positions too, and one whose reader is slow does not", async (t) => {
  const { url } = await serveFeeds(t, async (stream) => {
    stream.send(started());
    for (let seq = 1; !stream.response.destroyed; seq++) {
      stream.send(event("garden", seq));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  const feed = feedOf(t, url, { allChats: true });
  while (!feed.position.allChats) {
    await take(feed, 1);
  }
  const heads = Array.from({ length: 400 }, (_, i) => ({ caughtUp: { chatId: `chat-${i}`, seq: 1 } }));
  const burst = await serveFeeds(t, (stream) => stream.send(started(), ...heads));
  const slow = feedOf(t, burst.url, { allChats: true });
  await take(slow, 1);
  await new Promise((resolve) => setTimeout(resolve, 1_200)); // longer than the pause that shows that all heads have come
  await take(slow, 200);
  assert.equal(slow.position.allChats, false);
  await take(slow, 199);
  const last = slow.next();
  while (!slow.position.allChats) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  slow.close();
  await last;
});

test("a position is that of the messages that the reader has taken, and resumes a feed of named chats", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream, n) => stream.send(started(), ...events("garden", (stream.afterSeqs.garden ?? 0) + 1, 5)));
  const feed = feedOf(t, url, { chats: [{ chatId: "garden", afterSeq: 0 }, { chatId: "kitchen" }] });
  await take(feed, 2);
  assert.deepEqual(feed.position, { logId: "log-1", chats: { garden: 2 }, allChats: false });
  feed.close();
  assert.deepEqual(await feed.next(), { done: true, value: undefined });
  assert.deepEqual(feed.position.chats, { garden: 2 });
  assert.deepEqual(brief(await take(feedOf(t, url, { resume: feed.position }), 3)), texts("garden", 3, 5));
  assert.deepEqual(brief(await take(feedOf(t, url, { resume: feed.position, chats: [{ chatId: "garden", afterSeq: 0 }] }), 3)), texts("garden", 3, 5));
  assert.deepEqual(streams[2].afterSeqs, { garden: 2 });
});

test("another log begins at the heads, in all streams", async (t) => {
  const ids = Array.from({ length: 1_500 }, (_, i) => `chat-${i}`);
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    if (n <= 2) {
      return stream.send(started("log-1"), ...(stream.afterSeqs["chat-0"] === undefined ? [] : [event("chat-0", 1)]));
    }
    if (stream.request.logId === "log-1") {
      return stream.send(started("log-2"), { resync: { chatId: "" } }, ...(n === 3 ? [{ caughtUp: { chatId: "chat-0", seq: 40 } }, event("chat-0", 41)] : []));
    }
    stream.send(started("log-2"), ...Object.keys(stream.afterSeqs).slice(0, 1).map((chatId) => ({ caughtUp: { chatId, seq: 50 } })));
  });
  const feed = feedOf(t, url, { chats: ids.map((chatId) => ({ chatId, afterSeq: 0 })) });
  assert.deepEqual(brief(await take(feed, 1)), ["chat-0 1"]);
  streams.find((stream) => stream.afterSeqs["chat-0"] !== undefined).cut();
  assert.deepEqual(brief(await take(feed, 4)).sort(), ["caughtUp chat-0 40", "caughtUp chat-1000 50", "chat-0 41", "resync 0"]);
  assert.deepEqual(feed.position, { logId: "log-2", chats: { "chat-0": 41, "chat-1000": 50 }, allChats: false });
  assert.equal(streams.length, 4);
});

test("a resync moves a position back or forward, and a chat that was left is not named again", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    if (n === 1) {
      stream.send(started(), { resync: { chatId: "garden", seq: 2 } }, { caughtUp: { chatId: "garden", seq: 2 } }, event("garden", 3));
      stream.send({ resync: { chatId: "kitchen", seq: 9 } }, event("kitchen", 10), event("cellar", 1), { chatLeft: { chatId: "cellar", seq: 1 } });
      return stream.cut();
    }
    stream.send(started(), { caughtUp: { chatId: "garden", seq: 3 } }, { caughtUp: { chatId: "kitchen", seq: 10 } }, event("garden", 4));
  });
  const chats = [{ chatId: "garden", afterSeq: 8 }, { chatId: "kitchen", afterSeq: 3 }, { chatId: "cellar", afterSeq: 0 }];
  const feed = feedOf(t, url, { chats });
  assert.deepEqual(brief(await take(feed, 9)), [
    "resync garden 2", "caughtUp garden 2", "garden 3", "resync kitchen 9", "kitchen 10", "cellar 1", "chatLeft cellar 1", "caughtUp kitchen 10", "garden 4",
  ]);
  assert.deepEqual(streams[1].afterSeqs, { garden: 3, kitchen: 10 });
});

test("a feed ends with its loop, with close and with its signal", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream) => stream.send(started(), ...events("garden", 1, 3)));
  for await (const message of feedOf(t, url)) {
    assert.equal(message.seq, 1);
    break;
  }
  await streams[0].closed;

  const abort = new AbortController();
  const states = [];
  const feed = feedOf(t, url, { ...garden, signal: abort.signal, onStateChange: (state) => states.push(state) });
  const ended = (async () => {
    const seen = [];
    for await (const message of feed) {
      seen.push(message.seq);
      if (message.seq === 3) {
        setImmediate(() => abort.abort());
      }
    }
    return seen;
  })();
  assert.deepEqual(await ended, [1, 2, 3]);
  await streams[1].closed;
  assert.deepEqual(states, ["live", "closed"]);
  feed.add("kitchen"); // has no effect
  const aborted = feedOf(t, url, { ...garden, signal: AbortSignal.abort() });
  assert.deepEqual([await aborted.next(), aborted.state], [{ done: true, value: undefined }, "closed"]);
  assert.equal(streams.length, 2);
});

test("a feed ends its connection, also after the garbage collector has run", async (t) => {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  const { url, streams } = await serveFeeds(t, (stream) => stream.send(started(), event("garden", 1)));
  const feed = feedOf(t, url);
  await take(feed, 1);
  for (let i = 0; i < 5; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  feed.close();
  await streams[0].closed;
});

test("wrong options are refused by name", () => {
  const client = createClient({ url: "http://unused" });
  for (const [options, field] of [
    [{}, "chats"],
    [{ chats: [{ chatId: 7 }] }, "chats[0].chatId"],
    [{ chats: [{ chatId: "a", afterSeq: -1 }] }, "chats[0].afterSeq"],
    [{ chats: [{ chatId: "a" }, { chatId: "a" }] }, "chats[1].chatId"],
    [{ allChats: "yes" }, "allChats"],
    [{ allChats: true, resume: { logId: "l", chats: { a: 1.5 } } }, "resume.chats.a"],
    [{ allChats: true, resume: {} }, "resume.chats"],
    [{ allChats: true, resume: { logId: 7, chats: {} } }, "logId"],
  ]) {
    assert.throws(() => client.feed(options), { code: "invalid_argument", field }, JSON.stringify(options));
  }
  const feed = client.feed({ allChats: true });
  assert.throws(() => feed.add("garden"), { code: "invalid_argument", field: "chatId" });
  assert.throws(() => feed.remove("garden"), { code: "invalid_argument", field: "chatId" });
  feed.close();
});

test("the address of server-sent events has the parameters of the feed", () => {
  const client = createClient({ url: "https://chat.example.com/" });
  const url = new URL(client.feedURL({ ticket: "t/1", chats: [{ chatId: "a:b &" }, { chatId: "garden", afterSeq: 0 }], maxCatchUp: 5, durableOnly: true, actorId: "ada" }));
  assert.equal(url.origin + url.pathname, "https://chat.example.com/v1/feed");
  assert.deepEqual([...url.searchParams], [["chat", "a%3Ab%20%26"], ["chat", "garden:0"], ["actor_id", "ada"], ["max_catch_up", "5"], ["durable_only", "true"], ["ticket", "t/1"]]);
  assert.equal(new URL(client.feedURL({ allChats: true, lastEventId: "log 1" })).search, "?all_chats=true&last_event_id=log+1");
});
