import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { hasCode, verifyWebhook } from "../dist/index.js";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const other = "whsec_" + Buffer.alloc(32, 7).toString("base64");
const id = "0190f5a4-7c00-7000-8000-000000000001";
const data = (fields) => ({ eventId: id, type: "message:new", timestamp: "2026-01-02T03:04:05.678Z", v: 1, seq: 3, ordinal: 2, ...fields });
const message = data({ messageId: "m2", chatId: "garden", senderId: "ada", content: "Soup at one ☕" });
const bodyOf = (fields) => JSON.stringify({ type: fields.type, timestamp: fields.timestamp, data: fields });

/** signed returns a request that standardwebhooks has signed. */
function signed(body, { by = secret, at = new Date(), headers } = {}) {
  return {
    body,
    headers: {
      "webhook-id": id, "webhook-timestamp": String(Math.floor(at / 1000)), "webhook-signature": new Webhook(by).sign(id, at, body),
      "chatcore-attempt": "2", "chatcore-epoch": "7", "chatcore-log": "log-1", ...headers,
    },
  };
}
const reason = async (request) => {
  const error = await verifyWebhook(request).then(() => undefined, (error) => error);
  return error && [error.name, error.code, error.reason].join(" ");
};

test("what standardwebhooks signs is verified, with the event as feeds have it", async () => {
  const request = signed(bodyOf(message));
  for (const form of [
    request,
    { ...request, body: Buffer.from(request.body) },
    { ...request, headers: new Headers(request.headers) },
    { ...request, headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name.toUpperCase(), [value]])) },
  ]) {
    const { event, sentAt, data, ...rest } = await verifyWebhook({ secret, ...form });
    assert.deepEqual(event, {
      id, chatId: "garden", seq: 3, type: "message:new", occurredAt: new Date("2026-01-02T03:04:05.678Z"), actorId: "ada", correlationId: "", causationId: "",
      traceparent: "", redacted: false, erased: false,
      messageNew: { messageId: "m2", content: "Soup at one ☕", replyTo: "", mentions: [], attachments: [], clientMeta: undefined, clientMetaText: "" },
    });
    assert.deepEqual(rest, { isTest: false, ordinal: 2, attempt: 2, epoch: 7, logId: "log-1" });
    assert.ok(Math.abs(sentAt - Date.now()) < 5_000 && data.senderId === "ada");
  }
});

test("what the server signs is verified here and by standardwebhooks", async () => {
  // As adapters/subscribers/webhook signs: HMAC-SHA256 of id, timestamp and body, by each live secret.
  const timestamp = String(Math.floor(Date.now() / 1000));
  const body = bodyOf(message);
  const signature = [other, secret].map((text) => "v1," + createHmac("sha256", Buffer.from(text.slice(6), "base64")).update(`${id}.${timestamp}.${body}`).digest("base64")).join(" ");
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
  for (const by of [secret, other]) {
    assert.equal(new Webhook(by).verify(body, headers).data.eventId, id);
    assert.equal((await verifyWebhook({ secret: by, headers, body })).event.id, id);
  }
  // The example of the specification.
  const example = { "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" };
  const toleranceMs = Date.now();
  assert.equal(await reason({ secret, headers: example, body: '{"test": 2432232314}', toleranceMs }), "ChatcoreError invalid_argument webhook_body"); // signed, and no event
  assert.equal(await reason({ secret, headers: example, body: '{"test": 2432232315}', toleranceMs }), "ChatcoreError unauthenticated webhook_signature");
});

test("one of several secrets and signatures is enough", async () => {
  const request = signed(bodyOf(message));
  assert.equal(await reason({ secrets: [other, secret], ...request }), undefined);
  assert.equal(await reason({ secrets: [other], ...request }), "ChatcoreError unauthenticated webhook_signature");
  const signature = request.headers["webhook-signature"];
  for (const [text, want] of [
    [`v1a,xyz v2 v1, v1,%% ${signature}`, undefined],
    [signature.replace("v1,", "v2,"), "webhook_signature"],
    [signature.slice(0, -4), "webhook_signature"],
    [signature + "AAAA", "webhook_signature"],
    ["v1", "webhook_signature"],
    [signature.slice(3), "webhook_signature"],
    [Array(40).fill("v1,AAAA").join(" ") + ` ${signature}`, "webhook_signature"],
  ]) {
    assert.equal(await reason({ secret, ...request, headers: { ...request.headers, "webhook-signature": text } }), want && `ChatcoreError unauthenticated ${want}`, text);
  }
});

test("each byte, the id and the time are signed", async () => {
  const request = signed(bodyOf(message));
  const timestamp = Number(request.headers["webhook-timestamp"]);
  for (const change of [{ body: request.body + " " }, { body: request.body.replace("one", "two") }, { id: id.replace("1", "2") }, { timestamp: timestamp - 1 }]) {
    const headers = { ...request.headers, "webhook-id": change.id ?? id, "webhook-timestamp": String(change.timestamp ?? timestamp) };
    assert.equal(await reason({ secret, headers, body: change.body ?? request.body }), "ChatcoreError unauthenticated webhook_signature");
  }
});

test("old requests and those of the future are refused", async () => {
  const at = (seconds) => signed(bodyOf(message), { at: new Date(Date.now() + seconds * 1000) });
  assert.equal(await reason({ secret, ...at(-290) }), undefined);
  assert.equal(await reason({ secret, ...at(290) }), undefined);
  assert.equal(await reason({ secret, ...at(-310) }), "ChatcoreError unauthenticated webhook_too_old");
  assert.equal(await reason({ secret, ...at(310) }), "ChatcoreError unauthenticated webhook_too_new");
  assert.equal(await reason({ secret, ...at(-310), toleranceMs: 400_000 }), undefined);
  assert.equal(await reason({ secret, ...at(-60), toleranceMs: 30_000 }), "ChatcoreError unauthenticated webhook_too_old");
});

test("missing headers, wrong options and bodies that are no events have errors of their own", async () => {
  const request = signed(bodyOf(message));
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
    assert.equal(await reason({ secret, body: request.body, headers: { ...request.headers, [name]: undefined } }), "ChatcoreError unauthenticated webhook_headers");
  }
  assert.equal(await reason({ secret, ...signed(bodyOf(message), { headers: { "webhook-timestamp": "1e9" } }) }), "ChatcoreError unauthenticated webhook_headers");
  for (const body of ["null", "{", "[]", '{"data":null}', bodyOf({ ...message, eventId: "another" }), bodyOf({ ...message, type: 7 })]) {
    assert.equal(await reason({ secret, ...signed(body) }), "ChatcoreError invalid_argument webhook_body", body);
  }
  for (const options of [{}, { secrets: [] }, { secret, secrets: [secret] }, { secret: "whsec_" }, { secret: "whsec_%%%" }, { secret, toleranceMs: NaN }, { secret, body: message }]) {
    const error = await verifyWebhook({ ...request, ...options }).catch((error) => error);
    assert.ok(hasCode(error, "invalid_argument") && error.reason === "invalid" && !error.message.includes("%%%"), String(error));
  }
});

test("each type of event has its content", async () => {
  const content = async (fields) => {
    const { event } = await verifyWebhook({ secret, ...signed(bodyOf(data(fields))) });
    const { id: _, seq, occurredAt, correlationId, causationId, traceparent, redacted, erased, ...rest } = event;
    return rest;
  };
  const chatId = "garden";
  for (const [fields, want] of [
    [
      { type: "message:new", messageId: "m", senderId: "ada", content: "", replyTo: "l", mentions: ["ben"], attachments: [{ name: "a.png", type: "image/png", size: 7, url: "https://x/a" }, null], clientMeta: { a: 1 } },
      { actorId: "ada", messageNew: { messageId: "m", content: "", replyTo: "l", mentions: ["ben"], attachments: [{ name: "a.png", type: "image/png", size: 7, url: "https://x/a" }], clientMeta: { a: 1 }, clientMetaText: '{"a":1}' } },
    ],
    [
      { type: "message:edit", messageId: "m", editorId: "ada", content: "new", mentions: [], revision: 2 },
      { actorId: "ada", messageEdit: { messageId: "m", content: "new", mentions: [], mentionsChanged: true, attachments: [], attachmentsChanged: false, revision: 2 } },
    ],
    [{ type: "message:delete", messageId: "m", deletedBy: "ben", reason: "spam" }, { actorId: "ben", messageDelete: { messageId: "m", reason: "spam" } }],
    [
      { type: "message:erased", messageId: "m", messageSeq: 3, erasedBy: "ben", reason: "law" },
      { actorId: "ben", messageErased: { messageId: "m", messageSeq: 3, reason: "law" } },
    ],
    [{ type: "chat:deleted", deletedBy: "ben", reason: "law" }, { actorId: "ben", chatDeleted: { reason: "law", contentErased: false } }],
    [{ type: "chat:deleted", deletedBy: "ben", contentErased: true }, { actorId: "ben", chatDeleted: { reason: "", contentErased: true } }],
    [{ type: "message:reaction", messageId: "m", userId: "ben", emoji: "👍", action: "remove" }, { actorId: "ben", messageReaction: { messageId: "m", emoji: "👍", removed: true } }],
    [{ type: "read:receipt", messageId: "m", userId: "ben", readSeq: 9 }, { actorId: "ben", readReceipt: { messageId: "m", readSeq: 9 } }],
    [
      { type: "chat:update", actorId: "ada", change: "role_changed", userId: "ben", role: "admin", previousRole: "member" },
      { actorId: "ada", chatUpdate: { change: "role_changed", title: "", userId: "ben", role: "admin", previousRole: "member" } },
    ],
    [{ type: "chat:update", actorId: "ada", change: "painted" }, { actorId: "ada", chatUpdate: { change: "unspecified", title: "", userId: "", role: "unspecified", previousRole: "unspecified" } }],
    [{ type: "poll:voted", v: 3, actorId: "ada", entity: "poll/1", data: { x: 1 } }, { actorId: "ada", custom: { typeVersion: 3, entityId: "poll/1", data: { x: 1 }, dataText: '{"x":1}' } }],
  ]) {
    assert.deepEqual(await content({ chatId, ...fields }), { type: fields.type, chatId, ...want });
  }
  const newer = await content({ chatId, type: "message:new", v: 2 });
  assert.deepEqual([newer.actorId, newer.unknown.typeVersion, newer.unknown.data.chatId], ["", 2, chatId]);
  const tested = await verifyWebhook({ secret, ...signed(bodyOf(data({ type: "webhook:test", webhook: "crm", seq: undefined }))) });
  assert.deepEqual([tested.isTest, tested.event.chatId, tested.event.seq], [true, "", 0]);
  const odd = await content({ chatId, type: "constructor", v: 1 });
  assert.ok(odd.unknown);
});
