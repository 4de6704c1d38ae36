import type { Attachment, Event, JsonObject } from "./models.js";

type Common = Pick<Event, "id" | "chatId" | "seq" | "type" | "occurredAt" | "actorId" | "correlationId" | "causationId" | "traceparent" | "redacted" | "erased">;
type Content = { actorId: string; content: object };

/** The events of the core, by type. */
const readers: { [type: string]: (data: Fields) => Content } = {
  "message:new": (data) => ({
    actorId: data.text("senderId"),
    content: {
      messageNew: {
        messageId: data.text("messageId"),
        content: data.text("content"),
        replyTo: data.text("replyTo"),
        mentions: data.texts("mentions"),
        attachments: data.attachments(),
        clientMeta: data.object("clientMeta"),
        clientMetaText: data.json("clientMeta"),
      },
    },
  }),
  "message:edit": (data) => ({
    actorId: data.text("editorId"),
    content: {
      messageEdit: {
        messageId: data.text("messageId"),
        content: data.text("content"),
        mentions: data.texts("mentions"),
        mentionsChanged: data.has("mentions"),
        attachments: data.attachments(),
        attachmentsChanged: data.has("attachments"),
        revision: data.number("revision"),
      },
    },
  }),
  "message:delete": (data) => ({
    actorId: data.text("deletedBy"),
    content: { messageDelete: { messageId: data.text("messageId"), reason: data.text("reason") } },
  }),
  "message:erased": (data) => ({
    actorId: data.text("erasedBy"),
    content: { messageErased: { messageId: data.text("messageId"), messageSeq: data.number("messageSeq"), reason: data.text("reason") } },
  }),
  "chat:deleted": (data) => ({
    actorId: data.text("deletedBy"),
    content: { chatDeleted: { reason: data.text("reason"), contentErased: data.has("contentErased") } },
  }),
  "message:reaction": (data) => ({
    actorId: data.text("userId"),
    content: { messageReaction: { messageId: data.text("messageId"), emoji: data.text("emoji"), removed: data.text("action") === "remove" } },
  }),
  "read:receipt": (data) => ({
    actorId: data.text("userId"),
    content: { readReceipt: { messageId: data.text("messageId"), readSeq: data.number("readSeq") } },
  }),
  "chat:update": (data) => ({
    actorId: data.text("actorId"),
    content: {
      chatUpdate: {
        change: data.one("change", ["created", "renamed", "member_added", "member_removed", "role_changed", "archived", "unarchived"]),
        title: data.text("title"),
        userId: data.text("userId"),
        role: data.one("role", ["member", "admin", "owner"]),
        previousRole: data.one("previousRole", ["member", "admin", "owner"]),
      },
    },
  }),
};

/** wireEvent returns an event of the wire contract's JSON as feeds and consumers have it. One that only a newer program can read is unknown. */
export function wireEvent(object: JsonObject): Event {
  const data = new Fields(object);
  const type = data.text("type");
  const version = data.number("v");
  const { actorId, content } = contentOf(data, type, version);
  const common: Common = {
    id: data.text("eventId"),
    chatId: data.text("chatId"),
    seq: data.number("seq"),
    type,
    occurredAt: data.date("timestamp"),
    actorId,
    correlationId: data.text("correlationId"),
    causationId: data.text("causationId"),
    traceparent: data.text("traceparent"),
    redacted: false,
    erased: data.has("erased"),
  };
  return { ...common, ...content } as Event;
}

function contentOf(data: Fields, type: string, version: number): Content {
  const read = Object.hasOwn(readers, type) ? readers[type] : undefined;
  if (read !== undefined && version <= 1) {
    return read(data);
  }
  const custom = data.object("data");
  if (read === undefined && custom !== undefined) {
    const fields = { typeVersion: version, entityId: data.text("entity"), data: custom, dataText: data.json("data") };
    return { actorId: data.text("actorId"), content: { custom: fields } };
  }
  return { actorId: "", content: { unknown: { typeVersion: version, data: data.fields, dataText: JSON.stringify(data.fields) } } };
}

/** Fields reads the fields of a JSON object. A field that is missing, or of another type, has the value that a message of the API has without it. */
class Fields {
  constructor(readonly fields: JsonObject) {}

  has(name: string): boolean {
    return this.fields[name] !== undefined;
  }

  text(name: string): string {
    const value = this.fields[name];
    return typeof value === "string" ? value : "";
  }

  number(name: string): number {
    const value = this.fields[name];
    return typeof value === "number" ? value : 0;
  }

  date(name: string): Date | undefined {
    const date = new Date(this.text(name));
    return Number.isNaN(date.getTime()) ? undefined : date;
  }

  object(name: string): JsonObject | undefined {
    const value = this.fields[name];
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  }

  json(name: string): string {
    const value = this.object(name);
    return value === undefined ? "" : JSON.stringify(value);
  }

  one<T extends string>(name: string, names: readonly T[]): T | "unspecified" {
    return names.find((known) => known === this.text(name)) ?? "unspecified";
  }

  texts(name: string): string[] {
    return this.list(name).filter((item) => typeof item === "string");
  }

  attachments(): Attachment[] {
    const objects = this.list("attachments").filter((item) => typeof item === "object" && item !== null);
    return objects.map((item) => {
      const fields = new Fields(item as JsonObject);
      return { name: fields.text("name"), type: fields.text("type"), size: fields.number("size"), url: fields.text("url") };
    });
  }

  private list(name: string): unknown[] {
    const value = this.fields[name];
    return Array.isArray(value) ? value : [];
  }
}
