import { fromPlain } from "./convert.js";
import { WatchRequestSchema, type CreateFeedTicketRequest, type CreateFeedTicketResponse } from "./gen/chatcore/v1/feed_pb.js";
import type { Input, Plain } from "./types.js";

/** FeedTicketInput names the reader of a ticket. */
export type FeedTicketInput = Input<CreateFeedTicketRequest>;
/** FeedTicket lets one request of a feed begin without a token, until expiresAt. */
export type FeedTicket = Plain<CreateFeedTicketResponse>;

/** FeedURLInput says what a feed of server-sent events follows, as FeedOptions do. */
export interface FeedURLInput {
  /** Ticket of client.feedTicket. */
  ticket?: string | undefined;
  chats?: readonly { chatId: string; afterSeq?: number | undefined }[] | undefined;
  allChats?: boolean | undefined;
  actorId?: string | undefined;
  maxCatchUp?: number | undefined;
  durableOnly?: boolean | undefined;
  /** Id of the last message that an earlier feed has given: MessageEvent.lastEventId. The feed continues after it. */
  lastEventId?: string | undefined;
}

/** feedURL returns the address of a feed of server-sent events. */
export function feedURL(base: string, { ticket, lastEventId, ...input }: FeedURLInput): string {
  const { chats, allChats, actorId, maxCatchUp, durableOnly } = fromPlain(WatchRequestSchema, input);
  const parameters = new URLSearchParams();
  for (const { chatId, afterSeq } of chats) {
    const id = encodeURIComponent(chatId);
    parameters.append("chat", afterSeq === undefined ? id : `${id}:${afterSeq}`);
  }
  const others: { [name: string]: string | false | undefined } = {
    all_chats: allChats && "true", actor_id: actorId, max_catch_up: maxCatchUp ? String(maxCatchUp) : "",
    durable_only: durableOnly && "true", last_event_id: lastEventId, ticket,
  };
  for (const [name, value] of Object.entries(others)) {
    if (value) {
      parameters.set(name, value);
    }
  }
  return `${base.replace(/\/$/, "")}/v1/feed?${parameters}`;
}
