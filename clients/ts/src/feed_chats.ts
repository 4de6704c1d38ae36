import { ChatcoreError } from "./errors.js";
import type { FeedMessage } from "./feed_messages.js";

/** FollowedChat is a chat that a stream follows. */
export interface FollowedChat {
  readonly chatId: string;
  /** Seq of the last event that was received. undefined: the stream begins at the chat's head. */
  seq: number | undefined;
  /** Number of the first stream whose request names the chat. Messages of earlier streams do not concern it. */
  readonly since: number;
  /** Whether the reader has had a caughtUp. */
  caughtUp: boolean;
  /** Whether the chat was removed. Its messages are not given to the reader any more. */
  removed: boolean;
}

type ChatMessage = Extract<FeedMessage, { chatId: string; seq: number }> | Extract<FeedMessage, { kind: "skipped" }>;

/**
 * advance moves the position of a chat over a message. It returns the message for the reader, or undefined if the reader has had it. It throws if events
 * between the position and the message are missing.
 */
export function advance(chat: FollowedChat, message: ChatMessage): FeedMessage | undefined {
  const { seq } = chat;
  switch (message.kind) {
    case "event":
      return moved(chat, message, message.seq, message.seq - 1);
    case "skipped": {
      const given = seq === undefined ? message : { ...message, fromSeq: Math.max(message.fromSeq, seq + 1) };
      const passed = moved(chat, given, message.toSeq, message.fromSeq - 1);
      return message.private ? undefined : passed;
    }
    case "caughtUp":
      if (seq !== undefined && seq !== message.seq) {
        throw missing(chat, seq, message.seq);
      }
      chat.seq = message.seq;
      return once(chat, message);
    case "chatJoined":
      if (seq !== undefined && message.seq <= seq) {
        return undefined;
      }
      chat.seq = message.seq;
      return message;
    case "resync":
      chat.seq = message.seq;
      chat.caughtUp = false;
      return message;
    case "chatLeft":
      return message;
  }
}

/** moved advances a chat to a seq with a message that needs the events up to needed. */
function moved(chat: FollowedChat, message: FeedMessage, to: number, needed: number): FeedMessage | undefined {
  if (chat.seq !== undefined && to <= chat.seq) {
    return undefined;
  }
  if (chat.seq !== undefined && needed > chat.seq) {
    throw missing(chat, chat.seq, to);
  }
  chat.seq = to;
  return message;
}

function once(chat: FollowedChat, message: FeedMessage): FeedMessage | undefined {
  if (chat.caughtUp) {
    return undefined;
  }
  chat.caughtUp = true;
  return message;
}

function missing(chat: FollowedChat, from: number, to: number): ChatcoreError {
  return new ChatcoreError("internal", `the stream jumps from seq ${from} of chat ${chat.chatId} to seq ${to}`, { reason: "feed_gap" });
}
