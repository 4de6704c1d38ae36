import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { fromPlain, toPlain } from "../dist/convert.js";
import { EventSchema } from "../dist/gen/chatcore/v1/event_pb.js";
import { TakeResponseSchema } from "../dist/gen/chatcore/v1/limit_pb.js";
import { EditMessageRequestSchema, MarkReadRequestSchema, RecordEventRequestSchema, SendMessageRequestSchema } from "../dist/gen/chatcore/v1/message_pb.js";
import { PromoteMemberRequestSchema } from "../dist/gen/chatcore/v1/chat_pb.js";
import { MemberSchema, MessageSchema, Role } from "../dist/gen/chatcore/v1/types_pb.js";
import { DeadLetterSchema } from "../dist/gen/chatcore/admin/v1/dead_letter_pb.js";
import { services } from "./fake.mjs";

const at = new Date(1_790_000_000_123);

test("responses become plain objects", () => {
  const message = create(MessageSchema, {
    id: "m1",
    sentAt: timestampFromDate(at),
    attachments: [{ name: "a.png", size: 9007199254740991n }],
    clientMeta: '{"big": 12345678901234567890,  "a": [1]}',
    reactions: [{ emoji: "👍", userIds: ["ada"] }],
  });
  const plain = toPlain(MessageSchema, message);
  assert.deepEqual(plain.sentAt, at);
  assert.equal(plain.attachments[0].size, 9007199254740991);
  assert.deepEqual(plain.clientMeta.a, [1]);
  assert.equal(plain.clientMetaText, message.clientMeta);
  assert.ok(!("editedAt" in plain) && !("$typeName" in plain) && !("$typeName" in plain.reactions[0]));
  assert.deepEqual(toPlain(MessageSchema, create(MessageSchema)).clientMeta, undefined);

  assert.equal(toPlain(MemberSchema, create(MemberSchema, { role: Role.ADMIN })).role, "admin");
  assert.equal(toPlain(MemberSchema, create(MemberSchema, { role: 77 })).role, "unspecified");
  assert.equal(toPlain(TakeResponseSchema, create(TakeResponseSchema, { retryAfter: durationFromMs(1500) })).retryAfter, 1500);
  const dead = toPlain(DeadLetterSchema, create(DeadLetterSchema, { metadata: { a: "b" }, payload: new Uint8Array([1]) }));
  assert.deepEqual([dead.metadata, dead.payload], [{ a: "b" }, new Uint8Array([1])]);
});

test("a oneof becomes the property that is set", () => {
  const event = create(EventSchema, { event: { case: "custom", value: { typeVersion: 2, data: '{"a":1.0}' } } });
  const plain = toPlain(EventSchema, event);
  assert.deepEqual(plain.custom, { typeVersion: 2, entityId: "", data: { a: 1 }, dataText: '{"a":1.0}' });
  assert.ok(!("messageNew" in plain) && !("event" in plain));
});

test("a property that may be missing is there if the event has it", () => {
  const settings = (value) => toPlain(EventSchema, create(EventSchema, { event: { case: "chatSettings", value } })).chatSettings;
  const missing = settings({ userId: "ada" });
  assert.ok(!("favourite" in missing) && !("unreadSeq" in missing) && !("mutedUntil" in missing));
  const there = settings({ favourite: false, unreadSeq: 0 });
  assert.deepEqual([there.favourite, there.unreadSeq], [false, 0]);
});

test("requests are made of plain objects", () => {
  const sent = fromPlain(SendMessageRequestSchema, { chatId: "garden", clientMeta: { a: 1 }, attachments: [{ url: "u", size: 5 }], replyTo: undefined });
  assert.equal(sent.clientMeta, '{"a":1}');
  assert.equal(sent.attachments[0].size, 5n);
  assert.equal(fromPlain(RecordEventRequestSchema, { data: '{"a":1.0}' }).data, '{"a":1.0}');
  assert.deepEqual(fromPlain(MarkReadRequestSchema, { seq: 3 }).position, { case: "seq", value: 3 });
  assert.equal(fromPlain(PromoteMemberRequestSchema, { role: "owner" }).role, Role.OWNER);
  const edit = fromPlain(EditMessageRequestSchema, { mentions: [], attachments: [{ url: "u" }] });
  assert.deepEqual([edit.mentions.userIds, edit.attachments.attachments[0].url], [[], "u"]);
  assert.equal(fromPlain(EditMessageRequestSchema, { content: "x" }).mentions, undefined);
});

test("a wrong value names the property and what is allowed", () => {
  for (const [schema, input, field, allowed] of [
    [SendMessageRequestSchema, { chatID: "garden" }, "chatID", /chatId, actorId/],
    [SendMessageRequestSchema, { chatId: 5 }, "chatId", /a string/],
    [SendMessageRequestSchema, { mentions: "ada" }, "mentions", /an array/],
    [SendMessageRequestSchema, { attachments: [{ url: "u", size: 0.5 }] }, "attachments[0].size", /an integer/],
    [SendMessageRequestSchema, { attachments: ["u"] }, "attachments[0]", /an object/],
    [SendMessageRequestSchema, { clientMeta: [1] }, "clientMeta", /an object/],
    [MarkReadRequestSchema, { seq: -1 }, "seq", /0 to 4294967295/],
    [MarkReadRequestSchema, { seq: 1, messageId: "m" }, "messageId", /one of messageId, seq/],
    [MarkReadRequestSchema, { awaitRecorded: "yes" }, "awaitRecorded", /true or false/],
    [PromoteMemberRequestSchema, { role: "boss" }, "role", /member, admin, owner/],
    [EditMessageRequestSchema, { mentions: "ada" }, "mentions", /an array/],
  ]) {
    assert.throws(() => fromPlain(schema, input), (error) => {
      assert.deepEqual([error.code, error.reason, error.field], ["invalid_argument", "invalid", field]);
      assert.match(error.allowed, allowed);
      return true;
    });
  }
});

test("the types hold: a message has one oneof at most, and a request no field of another scalar", () => {
  for (const { input, output } of services.flatMap((service) => service.methods)) {
    assert.ok(input.oneofs.length <= 1 && output.oneofs.length <= 1, input.typeName);
    for (const { scalar } of input.fields) {
      assert.ok([undefined, 3, 8, 9, 13].includes(scalar), `${input.typeName}: scalar ${scalar}`);
    }
  }
});
