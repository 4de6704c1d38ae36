// The times of a feed. A file is a process: a timer of an earlier test that a mocked clearTimeout does not know would delay its end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { brief, event, feedOf, garden, serveFeeds, started, take } from "./feed_server.mjs";

test("a silent connection is dead after 45 seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const waits = [];
  const arrived = () => new Promise((resolve) => waits.push(resolve));
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    stream.send(started(), event("garden", n));
    waits.shift()?.();
  });
  const feed = feedOf(t, url);
  assert.deepEqual(brief(await take(feed, 1)), ["garden 1"]);
  streams[0].send({ heartbeat: {} }, { typingStarted: { chatId: "garden", userId: "ben" } });
  await feed.next();
  await new Promise(setImmediate);
  t.mock.timers.tick(44_999);
  streams[0].send({ typingStopped: { chatId: "garden", userId: "ben" } });
  await feed.next(); // the time begins anew
  await new Promise(setImmediate);
  t.mock.timers.tick(44_999);
  assert.equal(streams.length, 1);
  const second = arrived();
  t.mock.timers.tick(1);
  await streams[0].closed;
  await new Promise(setImmediate);
  t.mock.timers.tick(100); // the pause after the first failure
  await second;
  assert.deepEqual(brief(await take(feed, 1)), ["garden 2"]);
});

test("a server that does not begin is left after 10 seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let arrived;
  const first = new Promise((resolve) => (arrived = resolve));
  const silent = await serveFeeds(t, () => arrived());
  const { url } = await serveFeeds(t, (stream) => stream.send(started(), event("garden", 1)));
  const feed = feedOf(t, [silent.url, url]);
  await first;
  t.mock.timers.tick(10_000);
  await silent.streams[0].closed;
  await new Promise(setImmediate);
  t.mock.timers.tick(100);
  assert.deepEqual(brief(await take(feed, 1)), ["garden 1"]);
});

test("pauses grow from 100 ms to 10 s, are random, and begin anew after progress", async (t) => {
  const pauses = [];
  const { setTimeout } = globalThis;
  t.mock.method(globalThis, "setTimeout", (f, ms) => {
    if (Number.isInteger(ms)) {
      return setTimeout(f, ms);
    }
    pauses.push(ms); // a random part of a backoff
    return setTimeout(f, 0);
  });
  const { url } = await serveFeeds(t, (stream, n) => {
    if (n === 12 || n === 14) {
      stream.send(started(), event("garden", n === 12 ? 1 : 2));
    }
    stream.end("unavailable", "draining");
  });
  const feed = feedOf(t, url, garden, { attemptTimeoutMs: 20_000 });
  await take(feed, 2);
  feed.close();
  for (let i = 0; i < 11; i++) {
    const longest = Math.min(10_000, 100 * 2 ** i);
    assert.ok(pauses[i] >= longest / 2 && pauses[i] <= longest, `pause ${i} is ${pauses[i]}`);
  }
  assert.ok(pauses[11] <= 100, `the pause after progress is ${pauses[11]}`);
  assert.equal(new Set(pauses.slice(8, 11)).size, 3, "the pauses are random");
});

test("a pause is as long as the server asks for", async (t) => {
  const { url, streams } = await serveFeeds(t, (stream, n) => {
    if (n === 1) {
      return stream.response.writeHead(429, { "Content-Type": "text/html", "Retry-After": "1" }).end();
    }
    stream.send(started(), event("garden", 1));
  });
  const began = Date.now();
  await take(feedOf(t, url), 1);
  assert.ok(Date.now() - began >= 1_000 && streams.length === 2);
});
