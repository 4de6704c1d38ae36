import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ChatcoreError, createClient, hasCode, hasReason, newId, Pages } from "../dist/index.js";
import { ErrorDetailSchema } from "../dist/gen/chatcore/v1/errors_pb.js";
import { fake, services } from "./fake.mjs";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function failure(code, detail, headers) {
  return new ConnectError("refused", code, headers, detail && [{ desc: ErrorDetailSchema, value: detail }]);
}

/** failing returns a handler that fails n times and then succeeds. */
function failing(n, error) {
  return () => {
    if (n-- > 0) {
      throw error;
    }
    return {};
  };
}

/** functions returns the methods of a client by path. */
function functions(client) {
  return [...Object.entries(client), ...Object.entries(client.admin)].flatMap(([name, service]) => {
    const keys = [...Object.keys(service), ...Object.getOwnPropertyNames(Object.getPrototypeOf(service))].filter((key) => key !== "constructor");
    return keys.filter((key) => typeof service[key] === "function").map((key) => [`${name}.${key}`, service[key].bind(service)]);
  });
}

async function called(f, ...args) {
  const result = f(...args);
  if (result instanceof Pages) {
    return result.all();
  }
  if (result[Symbol.asyncIterator]) {
    for await (const _ of result);
    return undefined;
  }
  return result;
}

test("every method of the API has a method of the client", async () => {
  const { client, calls } = fake({ fetch: () => ({ deliveries: [{ token: "token", event: { id: "event" } }] }) });
  for (const [path, f] of functions(client)) {
    if (!path.startsWith("admin.")) {
      await called(f, path === "messages.sendMany" ? [] : {});
    }
  }
  await client.feedTicket();
  const feed = client.feed({ allChats: true });
  await new Promise(setImmediate);
  feed.close();
  for (const [mode, last] of [["stream", "consume"], ["fetch", "settle"]]) {
    const consumer = client.consume("push", () => {}, { mode });
    while (!calls.some((call) => call.method === last)) {
      await new Promise(setImmediate);
    }
    await consumer.close();
  }
  const missing = services.flatMap((service) => service.methods).map((method) => method.localName);
  assert.deepEqual(new Set(missing), new Set(calls.map((call) => call.method)));
});

test("ids are made once per call, and stay over its attempts", async () => {
  const lost = failure(Code.Unavailable, { reason: "outcome_unknown", retryable: true });
  const { client, calls } = fake({ createChat: failing(2, lost), sendMessage: failing(1, lost), sendMessages: failing(1, lost) });
  await client.chats.create({ chatId: "garden" });
  await client.chats.create({ chatId: "garden" });
  const ids = calls.map((call) => call.request.commandId);
  assert.match(ids[0], uuid);
  assert.deepEqual(ids.slice(0, 3), [ids[0], ids[0], ids[0]]);
  assert.notEqual(ids[3], ids[0]);

  calls.length = 0;
  await client.messages.send({ chatId: "garden", content: "hello" });
  await client.messages.sendMany([{ chatId: "garden" }, { chatId: "garden", messageId: "mine" }]);
  assert.match(calls[0].request.messageId, uuid);
  assert.equal(calls[1].request.messageId, calls[0].request.messageId);
  const [first, again] = calls.slice(2).map((call) => call.request.messages.map((m) => m.messageId));
  assert.match(first[0], uuid);
  assert.deepEqual([first[1], again], ["mine", first]);
  await client.chats.rename({ chatId: "garden", title: "", commandId: "given" });
  assert.equal(calls.at(-1).request.commandId, "given");
});

test("ids are UUIDs of version 7, which sort by time", () => {
  const ids = [newId(1), newId(0xffff), newId(0x10000), newId(1_790_000_000_000), newId(0xffffffffffff)];
  ids.forEach((id) => assert.match(id, uuid));
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(parseInt(ids[3].replace("-", "").slice(0, 12), 16), 1_790_000_000_000);
  assert.equal(new Set(Array.from({ length: 1000 }, () => newId(5))).size, 1000);
});

test("only errors that say so are retried", async () => {
  for (const [error, attempts] of [
    [failure(Code.Unavailable), 2],
    [failure(Code.Unavailable, { reason: "unavailable", retryable: true }), 2],
    [failure(Code.Unavailable, { reason: "stopped", retryable: false }), 1],
    [failure(Code.ResourceExhausted, { reason: "overloaded", retryable: true, retryAfter: durationFromMs(1) }), 2],
    [failure(Code.Aborted, { reason: "conflict", retryable: true }), 2],
    [failure(Code.Aborted, { reason: "conflict" }), 1],
    [failure(Code.DeadlineExceeded), 2],
    [failure(Code.InvalidArgument, { reason: "invalid" }), 1],
    [failure(Code.Internal), 1],
    [failure(Code.Unauthenticated), 1],
    [failure(Code.Canceled), 1],
  ]) {
    const { client, calls } = fake({ sendMessage: failing(1, error) });
    await client.messages.send({ chatId: "garden" }).then(
      () => assert.equal(attempts, 2),
      (e) => assert.ok(attempts === 1 && e instanceof ChatcoreError, String(e)),
    );
    assert.equal(calls.length, attempts, error.message);
  }
});

test("calls that are not safe to give again are given once", async () => {
  const lost = failure(Code.Unavailable, { reason: "outcome_unknown", retryable: true });
  const handlers = Object.fromEntries(services.flatMap((s) => s.methods).map((method) => [method.localName, failing(1, lost)]));
  const { client, calls } = fake(handlers);
  const once = [];
  for (const [path, f] of functions(client)) {
    calls.length = 0;
    await called(f, path === "messages.sendMany" ? [] : {}).catch(() => undefined);
    if (calls.length === 1 && !["listOnline", "getEntityEvents", "countUnread", "getPage"].includes(path.split(".")[1])) {
      once.push(path);
    }
  }
  const broken = fake({ openSession: failing(1, failure(Code.Unavailable)) });
  const lostSession = await broken.client.sessions.open({ userId: "ben" }).catch((e) => e);
  assert.deepEqual([lostSession.code, lostSession.retryable], ["unavailable", false]);
  assert.deepEqual(once.sort(), [
    "deadLetters.drop", "deadLetters.retry", "groups.delete", "groups.rebuild", "limits.take", "retention.removeHold", "sessions.close", "sessions.closeAll",
    "sessions.open", "sessions.rotate", "webhooks.delete",
  ]);
});

test("a retry waits for retry_after, and is not made if the deadline comes first", async () => {
  const busy = (ms) => failure(Code.ResourceExhausted, { reason: "rate_limited", limit: "send", retryable: true, retryAfter: durationFromMs(ms) });
  const { client, calls } = fake({ sendMessage: failing(1, busy(60_000)), getUnread: failing(9, failure(Code.Unavailable, undefined, { "Retry-After": "3600" })) });
  const error = await client.messages.send({ chatId: "garden" }).catch((e) => e);
  assert.deepEqual([error.code, error.reason, error.limit, error.retryAfter, calls.length], ["resource_exhausted", "rate_limited", "send", 60_000, 1]);
  assert.deepEqual(error.ids, [calls[0].request.messageId]);
  assert.equal((await client.messages.getUnread({ chatId: "garden" }).catch((e) => e)).retryAfter, 3_600_000);

  const started = Date.now();
  const slow = fake({ sendMessage: failing(1, busy(400)) });
  await slow.client.messages.send({ chatId: "garden" });
  assert.ok(Date.now() - started >= 400);
  assert.equal(slow.calls.length, 2);
});

test("the deadline bounds a call with all its attempts, and each attempt has its own", async () => {
  const never = (request, n, context) => new Promise((resolve) => context.signal.addEventListener("abort", () => resolve({})));
  const { client, calls } = fake({ sendMessage: (request, n, context) => (n === 1 ? never(request, n, context) : {}) }, { attemptTimeoutMs: 50 });
  await client.messages.send({ chatId: "garden" });
  assert.deepEqual(calls.map((call) => call.timeoutMs <= 50), [true, true]);
  assert.equal(calls[0].request.messageId, calls[1].request.messageId);

  const stuck = fake({ sendMessage: never });
  const error = await stuck.client.messages.send({ chatId: "garden" }, { timeoutMs: 60 }).catch((e) => e);
  assert.ok(hasCode(error, "deadline_exceeded"), String(error));
  assert.ok(stuck.calls[0].timeoutMs <= 60);
});

test("the signal ends a call, also between two attempts", async () => {
  const abort = new AbortController();
  const { client, calls } = fake({
    sendMessage: () => {
      setTimeout(() => abort.abort(new Error("left the page")), 1);
      throw failure(Code.ResourceExhausted, { reason: "overloaded", retryable: true, retryAfter: durationFromMs(20_000) });
    },
  });
  const error = await client.messages.send({ chatId: "garden" }, { signal: abort.signal }).catch((e) => e);
  assert.deepEqual([error.code, error.cause.message, calls.length], ["canceled", "left the page", 1]);
  const expired = await client.messages.get({ chatId: "garden", messageId: "m" }, { signal: AbortSignal.abort(new DOMException("", "TimeoutError")) }).catch((e) => e);
  assert.equal(expired.code, "deadline_exceeded");
});

test("errors carry the detail", async () => {
  const detail = { reason: "invalid", field: "attachments[1].media_type", problem: "is empty", allowed: "1 to 127 bytes" };
  const { client } = fake({
    sendMessage: failing(1, failure(Code.InvalidArgument, detail)),
    getMessage: failing(1, failure(Code.OutOfRange, { reason: "seq_range", headSeq: 7 })),
    recordEvent: failing(1, failure(Code.Aborted, { reason: "conflict", entity: "poll/lunch", version: 0 })),
  });
  const invalid = await client.messages.send({ chatId: "garden" }).catch((e) => e);
  assert.deepEqual([invalid.code, invalid.field, invalid.problem, invalid.allowed], ["invalid_argument", "attachments[1].mediaType", "is empty", "1 to 127 bytes"]);
  assert.equal(invalid.message, "refused");
  assert.ok(hasReason(invalid, "invalid") && !hasReason(invalid, "conflict") && !hasCode(new Error("x"), "unknown"));
  assert.equal((await client.messages.get({ chatId: "c", messageId: "m" }).catch((e) => e)).headSeq, 7);
  const conflict = await client.messages.recordEvent({ chatId: "c", type: "a:b", data: {} }).catch((e) => e);
  assert.deepEqual([conflict.entity, conflict.version], ["poll/lunch", 0]);
});

test("a batch has a result or an error for each message", async () => {
  const { client } = fake({
    sendMessages: () => ({
      results: [
        { outcome: { case: "sent", value: { messageId: "a", seq: 2 } } },
        { outcome: { case: "error", value: { code: "permission_denied", message: "no", detail: { reason: "not_member" } } } },
        { outcome: { case: "error", value: { code: "aborted", message: "not tried", detail: { reason: "not_tried", retryable: true } } } },
      ],
    }),
  });
  const [sent, refused, skipped] = await client.messages.sendMany([{ chatId: "c", messageId: "a" }, { chatId: "d", messageId: "b" }, { chatId: "d" }]);
  assert.deepEqual(sent.sent, { messageId: "a", seq: 2, duplicate: false, differs: false });
  assert.ok(refused.error instanceof ChatcoreError && refused.sent === undefined);
  assert.deepEqual([refused.error.code, refused.error.reason, refused.error.ids, refused.error.retryable], ["permission_denied", "not_member", ["b"], false]);
  assert.equal(skipped.error.retryable, true);
  assert.match(skipped.error.ids[0], uuid);
});

test("a token is sent, and a function gives it anew for each attempt", async () => {
  const { client, calls } = fake({ getChat: failing(1, failure(Code.Unavailable)) }, { token: async () => `token-${calls.length}` });
  await client.chats.get({ chatId: "garden" });
  assert.deepEqual(calls.map((call) => call.header.get("Authorization")), ["Bearer token-0", "Bearer token-1"]);
  const broken = fake({}, { token: () => { throw new Error("no token"); } });
  await assert.rejects(broken.client.chats.get({ chatId: "garden" }), { message: "no token" });
});

test("lists go on from page to page, newest first from the end and oldest first from a start", async () => {
  const page = ({ pageToken }) => (pageToken === "" ? { messages: [{ id: "3" }, { id: "4" }], nextPageToken: "next" } : { messages: [{ id: "1" }, { id: "2" }] });
  const { client, calls } = fake({ listMessages: page, listChatIds: () => ({ chatIds: ["a", "b"] }) });
  const ids = async (list) => (await list.all()).map((m) => m.id).join("");
  assert.equal(await ids(client.messages.list({ chatId: "garden" })), "4321");
  assert.equal(await ids(client.messages.list({ chatId: "garden", beforeSeq: 9 })), "4321");
  assert.equal(await ids(client.messages.list({ chatId: "garden", oldest: true })), "3412");
  assert.equal(await ids(client.messages.list({ chatId: "garden", afterSeq: 0 })), "3412");
  const first = await client.messages.list({ chatId: "garden" }).page();
  assert.deepEqual([first.items.map((m) => m.id), first.nextPageToken], [["3", "4"], "next"]);
  assert.deepEqual(await client.chats.listIds({}).all(), ["a", "b"]);
  calls.length = 0;
  for await (const _ of client.messages.list({ chatId: "garden" })) {
    break;
  }
  assert.equal(calls.length, 1);
});

test("a broken connection is unavailable, and retried; an aborted one is canceled", async () => {
  const bodies = [
    () => { throw new TypeError("fetch failed"); },
    () => new Response(new ReadableStream({ start: (c) => c.error(new TypeError("terminated")) }), { headers: { "Content-Type": "application/json" } }),
    () => new Response("<html>", { status: 502, headers: { "Content-Type": "text/html" } }),
    () => Response.json({ messageId: "m", seq: 2 }),
  ];
  const requests = [];
  const client = createClient({ url: "http://unused", fetch: async (url, init) => (requests.push([url, new TextDecoder().decode(init.body)]), bodies[requests.length - 1]()) });
  const sent = await client.messages.send({ chatId: "garden", content: "hello" });
  assert.equal(sent.seq, 2);
  assert.equal(new Set(requests.map(String)).size, 1, "all attempts are the same request");
  assert.equal(requests.length, 4);

  const ended = createClient({ url: "http://unused", fetch: async () => { throw new DOMException("", "AbortError"); } });
  const error = await ended.messages.send({ chatId: "garden" }, { timeoutMs: 200 }).catch((e) => e);
  assert.equal(error.code, "unavailable"); // nobody aborted it
});

test("a stream gives its items, and its error", async () => {
  const { client } = fake({ async *streamOnlineUsers() { yield { userIds: ["ada", "ben"] }; throw failure(Code.Unavailable, { reason: "stopping" }); } });
  const users = [];
  await assert.rejects(async () => { for await (const user of client.presence.listOnline()) { users.push(user); } }, { code: "unavailable", reason: "stopping" });
  assert.deepEqual(users, ["ada", "ben"]);
});

test("a stream whose connection breaks is unavailable", async () => {
  const bodies = [
    () => new Response(new ReadableStream({ start: (c) => c.error(new TypeError("terminated")) }), { headers: { "Content-Type": "application/connect+json" } }),
    () => new Response(Uint8Array.of(0, 0, 0, 0, 9, 1), { headers: { "Content-Type": "application/connect+json" } }),
    () => new Response("", { headers: { "Content-Type": "application/connect+json" } }),
    () => { throw new TypeError("fetch failed"); },
  ];
  for (const body of bodies) {
    const client = createClient({ url: "http://unused", fetch: async () => body() });
    await assert.rejects(async () => { for await (const _ of client.presence.listOnline()); }, { code: "unavailable", reason: "" }, String(body));
  }
});
