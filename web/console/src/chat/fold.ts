import type { Event, ListedChat, Message, MessagePreview } from "@chatcore/client";

/** foldMessage applies an event to the messages of a chat, or to those of the thread of root, and returns the same list if it concerns none of them. */
export function foldMessage(messages: readonly Message[], event: Event, root = ""): readonly Message[] {
  if (event.messageNew) {
    const { messageId, content, replyTo, mentions, attachments, clientMetaText, threadId, inChat, broadcast } = event.messageNew;
    if (messages.some((message) => message.id === messageId)) {
      return messages;
    }
    if (threadId !== "" && !inChat && threadId !== root) {
      return change(messages, threadId, (message) => ({ ...message, thread: replied(message.thread, event) }));
    }
    const message: Message = {
      id: messageId, chatId: event.chatId, seq: event.seq, senderId: event.actorId, content, replyTo, replyDeleted: false, mentions, attachments, clientMetaText, erased: event.erased,
      sentAt: event.occurredAt, revision: 0, editedAt: undefined, deletedAt: undefined, deletedBy: "", deleteReason: "", reactions: [], unreadable: false,
      threadId, inChat, broadcast, thread: undefined, pinnedAt: undefined, pinnedBy: "",
    };
    return [...change(messages, threadId, (root) => ({ ...root, thread: replied(root.thread, event) })), message];
  }
  if (event.messageEdit) {
    const { messageId, content, revision } = event.messageEdit;
    return change(messages, messageId, (message) => ({ ...message, content, revision, editedAt: event.occurredAt }));
  }
  if (event.messageDelete) {
    const { messageId, reason } = event.messageDelete;
    return change(
      messages.map((message) => (message.replyTo === messageId ? { ...message, replyDeleted: true } : message)),
      messageId,
      (message) => ({ ...message, content: "", attachments: [], reactions: [], deletedAt: event.occurredAt, deletedBy: event.actorId, deleteReason: reason }),
    );
  }
  if (event.messageErased) {
    const { messageId, reason } = event.messageErased;
    return change(
      messages.map((message) => (message.replyTo === messageId ? { ...message, replyDeleted: true } : message)),
      messageId,
      (message) => ({
        ...message, content: "", replyTo: "", replyDeleted: false, mentions: [], attachments: [], reactions: [], clientMetaText: "", erased: true,
        deletedAt: message.deletedAt ?? event.occurredAt, deletedBy: message.deletedBy || event.actorId, deleteReason: reason,
      }),
    );
  }
  if (event.messagePin) {
    const { messageId, pinned } = event.messagePin;
    return change(messages, messageId, (message) => ({ ...message, pinnedAt: pinned ? event.occurredAt : undefined, pinnedBy: pinned ? event.actorId : "" }));
  }
  if (event.messageReaction) {
    const { messageId, emoji, removed } = event.messageReaction;
    return change(messages, messageId, (message) => ({ ...message, reactions: react(message.reactions, emoji, event.actorId, removed) }));
  }
  return messages;
}

function change(messages: readonly Message[], id: string, changed: (message: Message) => Message): readonly Message[] {
  return messages.map((message) => (message.id === id ? changed(message) : message));
}

/** replied returns the summary of a thread with one more reply. */
function replied(thread: Message["thread"], { seq, actorId, occurredAt, messageNew }: Event): Message["thread"] {
  const others = (thread?.participantIds ?? []).filter((id) => id !== actorId);
  return {
    replies: (thread?.replies ?? 0) + 1, lastSeq: seq, lastMessageId: messageNew!.messageId, lastSenderId: actorId, lastAt: occurredAt,
    participantIds: [actorId, ...others], moreParticipants: thread?.moreParticipants ?? false,
  };
}

function react(groups: Message["reactions"], emoji: string, userId: string, removed: boolean): Message["reactions"] {
  const others = groups.map((group) => (group.emoji === emoji ? { ...group, userIds: group.userIds.filter((id) => id !== userId) } : group));
  if (removed) {
    return others.filter((group) => group.userIds.length > 0);
  }
  const found = others.some((group) => group.emoji === emoji);
  return found
    ? others.map((group) => (group.emoji === emoji ? { ...group, userIds: [...group.userIds, userId] } : group))
    : [...others, { emoji, userIds: [userId] } as Message["reactions"][number]];
}

/** foldMark applies an event to the read marks of users: the seq up to which each has read. A send moves the mark of its sender. */
export function foldMark(marks: ReadonlyMap<string, number>, event: Event): ReadonlyMap<string, number> {
  const inThread = event.messageNew !== undefined && event.messageNew.threadId !== "" && !event.messageNew.inChat;
  const seq = event.readReceipt?.readSeq ?? (event.messageNew && !inThread ? event.seq : undefined);
  if (seq === undefined || seq <= (marks.get(event.actorId) ?? 0)) {
    return marks;
  }
  return new Map(marks).set(event.actorId, seq);
}

/** nameOf is the title of a chat, or the other participant of a direct one. */
export const nameOf = ({ title, peerId, id }: ListedChat): string => title || peerId || id;

/** previewOf is a message as a list of chats shows it. */
export function previewOf({ id, seq, senderId, sentAt, content, attachments, deletedAt }: Message): MessagePreview {
  return { messageId: id, seq, senderId, sentAt, text: content, attachments: attachments.length, deleted: deletedAt !== undefined };
}

/** previewText is the last message of a chat in one line. */
export function previewText({ preview }: ListedChat, user: string): string {
  if (!preview) {
    return "No messages yet";
  }
  const sender = preview.senderId === user ? "You" : preview.senderId;
  if (preview.deleted) {
    return `${sender}: message deleted`;
  }
  return `${sender}: ${preview.text || (preview.attachments > 0 ? `📎 ${preview.attachments}` : "…")}`;
}
