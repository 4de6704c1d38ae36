import type { Event } from "@chatcore/client";
import type { IconName } from "./icons";

/** Description is an event in words, and what it changes in the state of its chat. */
export interface Description {
  icon: IconName;
  /** Kind of the event, for its color. */
  tone: "chat" | "message" | "change" | "reaction" | "read" | "other";
  text: string;
  detail?: string;
  messageId?: string;
  userId?: string;
  title?: boolean;
}

/** describe returns what an event did. */
export function describe(event: Event): Description {
  if (event.messageNew) {
    const { messageId, content, replyTo, attachments } = event.messageNew;
    return { icon: replyTo ? "reply" : "chat", tone: "message", text: replyTo ? "replied" : "sent a message", detail: content || attachments[0]?.name || "", messageId };
  }
  if (event.messageEdit) {
    return { icon: "edit", tone: "change", text: "edited a message", detail: event.messageEdit.content, messageId: event.messageEdit.messageId };
  }
  if (event.messageDelete) {
    return { icon: "trash", tone: "change", text: "deleted a message", detail: event.messageDelete.reason, messageId: event.messageDelete.messageId };
  }
  if (event.messageReaction) {
    const { emoji, removed, messageId } = event.messageReaction;
    return { icon: "smile", tone: "reaction", text: removed ? `took ${emoji} off a message` : `reacted with ${emoji}`, messageId };
  }
  if (event.readReceipt) {
    return { icon: "double", tone: "read", text: `read up to seq ${event.readReceipt.readSeq}`, userId: event.actorId, messageId: event.readReceipt.messageId };
  }
  if (event.chatUpdate) {
    const { change, title, userId, role, previousRole } = event.chatUpdate;
    switch (change) {
      case "created":
        return { icon: "plus", tone: "chat", text: "created the chat", detail: title, title: true, userId: event.actorId };
      case "renamed":
        return { icon: "edit", tone: "chat", text: "renamed the chat", detail: title, title: true };
      case "member_added":
        return { icon: "members", tone: "chat", text: `added ${userId}`, userId };
      case "member_removed":
        return { icon: "members", tone: "chat", text: userId === event.actorId ? "left" : `removed ${userId}`, userId };
      case "role_changed":
        return { icon: "key", tone: "chat", text: `made ${userId} ${role}`, detail: `was ${previousRole}`, userId };
      case "archived":
        return { icon: "clock", tone: "chat", text: "archived the chat", title: true };
      case "unarchived":
        return { icon: "clock", tone: "chat", text: "opened the chat again", title: true };
    }
  }
  if (event.memberRestriction) {
    const { userId, restriction, until, lifted, reason } = event.memberRestriction;
    const ends = until ? ` until ${until.toISOString()}` : "";
    return { icon: "warn", tone: "chat", text: lifted ? `lifted the ${restriction} of ${userId}` : `set a ${restriction} for ${userId}${ends}`, detail: reason, userId };
  }
  if (event.chatPolicy) {
    return { icon: "key", tone: "chat", text: "changed the policy" };
  }
  if (event.chatMetadata) {
    const { set, unset } = event.chatMetadata;
    return { icon: "info", tone: "chat", text: "changed the metadata", detail: [...Object.keys(set), ...unset.map((key) => `−${key}`)].join(", ") };
  }
  if (event.messagePin) {
    const { messageId, pinned } = event.messagePin;
    return { icon: "pin", tone: "change", text: pinned ? "pinned a message" : "removed a pin", messageId };
  }
  if (event.chatSettings) {
    return { icon: "sessions", tone: "other", text: "changed the own settings", userId: event.actorId };
  }
  if (event.threadMark) {
    const { readSeq, threadId } = event.threadMark;
    return { icon: "double", tone: "read", text: readSeq > 0 ? `read a thread up to seq ${readSeq}` : "changed whether to follow a thread", userId: event.actorId, messageId: threadId };
  }
  if (event.messageErased) {
    return { icon: "trash", tone: "change", text: "erased a message", detail: event.messageErased.reason, messageId: event.messageErased.messageId };
  }
  if (event.chatDeleted) {
    const text = event.chatDeleted.contentErased ? "erased the content of the chat" : "deleted the chat";
    return { icon: "trash", tone: "chat", text, detail: event.chatDeleted.reason, title: true };
  }
  if (event.custom) {
    return { icon: "bolt", tone: "other", text: `recorded ${event.type}`, detail: event.custom.dataText };
  }
  return { icon: "info", tone: "other", text: event.type };
}

/** rawEvent is an event as JSON, without the fields that are empty. */
export function rawEvent(event: Event): object {
  const clean = (value: unknown): unknown => {
    if (value instanceof Date) {
      return value.toISOString();
    }
    if (Array.isArray(value)) {
      return value.map(clean);
    }
    if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value).filter(([, v]) => v !== undefined && v !== "" && v !== false && !(Array.isArray(v) && v.length === 0));
      return Object.fromEntries(entries.map(([key, v]) => [key, clean(v)]));
    }
    return value;
  };
  const { kind: _, ...fields } = event as Event & { kind?: string };
  return clean(fields) as object;
}
