import type * as proto from "./gen/chatcore/v1/feed_pb.js";
import type { UserStatus } from "./gen/chatcore/v1/presence_pb.js";
import type { Event } from "./gen/chatcore/v1/event_pb.js";
import type { Plain } from "./types.js";

type Kind<K extends string, T> = { kind: K } & Plain<T>;

/**
 * FeedMessage is one message of a feed. Its kind is one of:
 *
 * - "event": the next durable event of a chat, with the fields of Event: chatId, seq, type, actorId, and one property of the content, such as messageNew.
 * - "typingStarted", "typingStopped": a user began to type, or stopped, in a chat. At most once, and not after a reconnect.
 * - "userStatus": the status of a user that shares a chat with the reader changed. At most once, and not after a reconnect.
 * - "caughtUp": the reader has every event of a chat up to seq; later ones are live. Once per chat, and again after a resync.
 * - "skipped": the events of a chat from fromSeq to toSeq are left out, because there were more than maxCatchUp. Load the chat anew.
 * - "chatJoined": the feed follows another chat from now on, because the user became a member. The events after seq follow.
 * - "chatLeft": the feed does not follow a chat any more, because the user is no member any more. seq is the last event that the user may read.
 * - "resync": the position of a chat, or of all chats if chatId is "", is not of the server's log, which was replaced. Load the chat anew: with a chatId, the
 *   events after seq follow; without one, a caughtUp of each chat follows, and the chat is loaded then.
 */
export type FeedMessage =
  | Kind<"event", Event>
  | Kind<"typingStarted", proto.TypingStarted>
  | Kind<"typingStopped", proto.TypingStopped>
  | Kind<"userStatus", UserStatus>
  | Kind<"caughtUp", proto.CaughtUp>
  | Kind<"skipped", proto.Skipped>
  | Kind<"chatJoined", proto.ChatJoined>
  | Kind<"chatLeft", proto.ChatLeft>
  | Kind<"resync", proto.Resync>;

/** StreamMessage is one message of a stream: that of a feed, or one that concerns only the connection. */
export type StreamMessage = FeedMessage | Kind<"started", proto.FeedStarted> | Kind<"heartbeat", proto.Heartbeat>;

/** streamMessage returns a response of Watch by its kind, or undefined if its kind is of a later version of the API. */
export function streamMessage(response: Plain<proto.WatchResponse>): StreamMessage | undefined {
  for (const [kind, message] of Object.entries(response)) {
    if (message !== undefined) {
      return { kind, ...(message as object) } as StreamMessage;
    }
  }
  return undefined;
}
