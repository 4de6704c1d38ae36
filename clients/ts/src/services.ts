import type { CallOptions } from "./calls.js";
import { ChatcoreError, type ErrorCode } from "./errors.js";
import { ChatService } from "./gen/chatcore/v1/chat_pb.js";
import { LimitService } from "./gen/chatcore/v1/limit_pb.js";
import { LogService } from "./gen/chatcore/v1/log_pb.js";
import { MessageService, type SendMessageRequest, type SendMessageResponse } from "./gen/chatcore/v1/message_pb.js";
import { PresenceService } from "./gen/chatcore/v1/presence_pb.js";
import { SessionService } from "./gen/chatcore/v1/session_pb.js";
import { newId } from "./ids.js";
import { Service } from "./service.js";
import type { Input, Plain } from "./types.js";

const chat = ChatService.method;
const message = MessageService.method;
const presence = PresenceService.method;
const session = SessionService.method;

/** Chats creates and changes chats and their members, and reads them. A service names the acting user in actorId; a user acts as itself. */
export class Chats extends Service {
  /** Starts a chat with its owner and its first members. Throws already_exists if the id is taken. */
  readonly create = this.part(chat.createChat, "result", "chatId");
  /** Changes the title. An admin or owner may. */
  readonly rename = this.part(chat.renameChat, "result", "chatId", "title");
  /** Closes a chat to new messages, reactions and members. An owner may. */
  readonly archive = this.part(chat.archiveChat, "result", "chatId");
  /** Closes a chat for good, removes its members and erases its messages. An owner may. After an error, the same call continues where it ended. */
  readonly delete = this.part(chat.deleteChat, "result", "chatId");
  /** Opens an archived chat again. An owner may. */
  readonly unarchive = this.part(chat.unarchiveChat, "result", "chatId");
  /** Makes a user a plain member. An admin or owner may. */
  readonly addMember = this.part(chat.addMember, "result", "chatId", "userId");
  /** Ends a user's membership. An admin may remove plain members, an owner everyone but the last owner. */
  readonly removeMember = this.part(chat.removeMember, "result", "chatId", "userId");
  /** Ends the actor's own membership. The last owner cannot leave. */
  readonly leave = this.part(chat.leaveChat, "result", "chatId");
  /** Raises a member's role. An owner may. */
  readonly promoteMember = this.part(chat.promoteMember, "result", "chatId", "userId", "role");
  /** Lowers a member's role. An owner may; the last owner cannot be demoted. */
  readonly demoteMember = this.part(chat.demoteMember, "result", "chatId", "userId", "role");
  /** Makes users plain members, in one step. users says what became of each. */
  readonly addMembers = this.repeatable(chat.addMembers, "chatId", "userIds");
  /** Makes the actor a plain member of a public chat. Throws not_found for a chat that is not public. */
  readonly join = this.part(chat.joinChat, "result", "chatId");
  /** Opens the direct chat of the actor and another user. Returns the same chat however often it is called. */
  readonly openDirect = this.repeatable(chat.openDirectChat, "userId");
  /** Returns the direct chat of the actor and another user. Throws not_found if they have none. */
  readonly getDirect = this.part(chat.getDirectChat, "chat", "userId");
  /** Lists the users whom a user blocks, in no particular order. */
  readonly listBlocked = this.pages(chat.listBlocked, "users");
  /** Ends a user's memberships of all chats and the user's sessions; to be repeated until complete is set. Only a service may. */
  readonly depart = this.repeatable(chat.departUser, "userId");
  /** Has neither the actor nor another user reach the other in their direct chat; or lifts that. */
  readonly block = this.part(chat.blockUser, "result", "userId");
  /** Changes who may see and join a group, and which roles actions take. An owner may. */
  readonly setPolicy = this.part(chat.setChatPolicy, "result", "chatId");
  /** Sets and removes keys of a chat's metadata. An admin or owner may, unless the policy says otherwise. */
  readonly updateMetadata = this.part(chat.updateChatMetadata, "result", "chatId");
  /** Returns the metadata of a chat, as of now or as of a seq. */
  readonly getMetadata = this.repeatable(chat.getChatMetadata, "chatId");
  /** Bans or mutes a user of a group, or lifts that. An admin or owner may, unless the policy says otherwise. */
  readonly restrict = this.part(chat.restrictMember, "result", "chatId", "userId", "restriction");
  /** Lists the bans and mutes of a chat that are in force, the latest first. */
  readonly listRestrictions = this.pages(chat.listRestrictions, "restrictions", "chatId");
  /** Returns a chat, as of now or as of a seq. */
  readonly get = this.part(chat.getChat, "chat", "chatId");
  /** Returns one current member. Throws not_found for anyone else. */
  readonly getMember = this.part(chat.getMember, "member", "chatId", "userId");
  /** Lists the current members, in no particular order. */
  readonly listMembers = this.pages(chat.listMembers, "members", "chatId");
  /** Lists a user's chats with title, role, unread count and last message, the chat with the latest message first. */
  readonly list = this.pages(chat.listChats, "chats");
  /** Lists the ids of a user's chats, or of all chats, in no particular order. */
  readonly listIds = this.pages(chat.listChatIds, "chatIds");
  /** Lists the users that share a chat with a user, those who share most chats first. */
  readonly listContacts = this.pages(chat.listContacts, "contacts");
  /** Changes the settings that the actor has for a chat. Settings that are missing stay as they are. */
  readonly setSettings = this.part(chat.setChatSettings, "result", "chatId");
  /** Returns a user's own settings for a chat, as of now or as of a seq. */
  readonly getSettings = this.part(chat.getChatSettings, "settings", "chatId");
  /** Has the contacts of users looked up anew, for servers with a source of contacts of their own. Only a service may. */
  readonly forgetContacts = this.done(chat.forgetContacts, "userIds");
}

/** SendInput is a message to send. messageId names the send; the client makes one if it is missing. */
export type SendInput = Input<SendMessageRequest, "chatId">;
/** SendResult is the result of one of several sends. */
export type SendResult = { sent: Plain<SendMessageResponse>; error?: undefined } | { sent?: undefined; error: ChatcoreError };

/** Messages sends and changes messages, moves read marks, records custom events, and reads messages and unread counts. */
export class Messages extends Service {
  /** Posts a message. duplicate says that it was sent before under its id, also by an earlier attempt of the same call. */
  readonly send = this.repeatable(message.sendMessage, "chatId");
  /** Gives a message new content and, if they are set, new mentions and attachments. Its author may, within the server's edit window. */
  readonly edit = this.part(message.editMessage, "result", "chatId", "messageId", "content");
  /** Leaves a tombstone in a message's place. The author, and admins and owners of the chat may. */
  readonly delete = this.part(message.deleteMessage, "result", "chatId", "messageId");
  /** Removes the content of a message and of its edits from the log. The author, and owners of the chat may. */
  readonly erase = this.repeatable(message.eraseMessage, "chatId", "messageId");
  /** Puts a reaction to a message. */
  readonly addReaction = this.part(message.addReaction, "result", "chatId", "messageId", "emoji");
  /** Takes the actor's own reaction off a message. */
  readonly removeReaction = this.part(message.removeReaction, "result", "chatId", "messageId", "emoji");
  /** Moves the actor's read mark forward, to messageId or seq. */
  readonly markRead = this.repeatable(message.markRead, "chatId");
  /** Records a custom event in the chat's log. The server's configuration declares the types. */
  readonly recordEvent = this.part(message.recordEvent, "result", "chatId", "type", "data");
  /** Returns one message, as of now or as of a seq. */
  readonly get = this.part(message.getMessage, "message", "chatId", "messageId");
  /** Lists messages newest first, or with afterSeq or oldest: oldest first. The items of a page are always oldest first. */
  readonly list = this.pages(message.listMessages, "messages", "chatId");
  /** Returns how many messages of others a member has not read in one chat. */
  readonly getUnread = this.part(message.getUnread, "messages", "chatId");
  /** Returns how many messages of others a member has not read in one chat and, with withMentions, how many of them and in threads mention the member. */
  readonly countUnread = this.repeatable(message.getUnread, "chatId");
  /** Returns how many messages of others a user has not read in each of the user's chats. */
  readonly listUnread = this.part(message.listUnread, "chats");
  /** Returns a page of messages, and with includeChanges the changes of the chat among them. */
  readonly getPage = this.repeatable(message.listMessages, "chatId");
  /** Returns how many messages of others a user has not read in all chats together. */
  readonly getUnreadTotals = this.repeatable(message.getUnreadTotals);
  /** Pins a message to its chat. An admin or owner may, unless the policy says otherwise. */
  readonly pin = this.part(message.pinMessage, "result", "chatId", "messageId");
  /** Removes the pin of a message. */
  readonly unpin = this.part(message.unpinMessage, "result", "chatId", "messageId");
  /** Returns the pinned messages of a chat, in the order in which they were pinned. */
  readonly listPins = this.part(message.listPins, "messages", "chatId");
  /** Returns the ids of the members that have read a message. Throws failed_precondition for a chat of more than 256 members. */
  readonly listReadBy = this.part(message.listReadBy, "userIds", "chatId", "messageId");
  /** Lists the custom events of one custom entity, newest first. */
  readonly listEntityEvents = this.pages(message.listEntityEvents, "events", "chatId", "entityId");
  /** Returns a page of the custom events of one custom entity, newest first, with the version of the entity. */
  readonly getEntityEvents = this.repeatable(message.listEntityEvents, "chatId", "entityId");
  /** Moves the actor's mark of a thread forward, to messageId, or changes whether the actor follows it. */
  readonly markThread = this.repeatable(message.markThread, "chatId", "threadId");
  /** Returns a thread as a user sees it, as of now or as of a seq. */
  readonly getThread = this.part(message.getThread, "thread", "chatId", "threadId");
  /** Lists the replies in a thread, newest first. */
  readonly listThread = this.pages(message.listThreadMessages, "messages", "chatId", "threadId");
  /** Lists the threads of a chat as a user sees them, those with the latest replies first. */
  readonly listThreads = this.pages(message.listThreads, "threads", "chatId");
  /** Lists the messages that mention a user or all members, the latest mention first. */
  readonly listMentions = this.pages(message.listMentions, "messages", "chatId");

  /**
   * Posts up to 256 messages, and returns one result for each in the same order. Messages to one chat are recorded in the order given: once one of them
   * fails, the later ones to its chat are not tried. The same messages with the same ids may be given again.
   */
  async sendMany(messages: readonly SendInput[], options?: CallOptions): Promise<SendResult[]> {
    const named = messages.map((input) => ({ ...input, messageId: input.messageId || newId() }));
    const { results } = await this.calls.repeat(message.sendMessages, { messages: named }, options);
    return results.map(({ sent, error }, i): SendResult => {
      if (sent) {
        return { sent };
      }
      const ids = [named[i]!.messageId];
      return { error: new ChatcoreError((error?.code ?? "unknown") as ErrorCode, error?.message ?? "no result", { ...error?.detail, ids }) };
    });
  }
}

/** Log reads the events of a chat as they were recorded. Services may, and owners and admins of the chat. */
export class Log extends Service {
  /** Lists events newest first, or with afterSeq or oldest: oldest first. The items of a page are always oldest first. */
  readonly listEvents = this.pages(LogService.method.listEvents, "events", "chatId");
  /** Lists the events about one message, or by and about one user, oldest first. */
  readonly listAuditEvents = this.pages(LogService.method.listAuditEvents, "events", "chatId");
}

/** Presence records and returns who is online and who is typing. */
export class Presence extends Service {
  /** Records that a connection of one of the user's devices is alive. Repeat it within a third of its lifetime (60 s by default). */
  readonly heartbeat = this.done(presence.heartbeat, "deviceId");
  /** Ends the heartbeat of exactly this connection at once. */
  readonly disconnect = this.done(presence.disconnect, "deviceId");
  /** Sets the status that a user shows while online. Returns whether a change was published. */
  readonly setStatus = this.part(presence.setStatus, "published", "status");
  /** Returns the statuses of 1 to 256 users, in the order of the request. */
  readonly getStatuses = this.part(presence.getStatuses, "statuses", "userIds");
  /** Publishes that a member types. Returns false within 2 seconds of the start before. */
  readonly startTyping = this.part(presence.startTyping, "published", "chatId");
  /** Publishes that a member no longer types. */
  readonly stopTyping = this.done(presence.stopTyping, "chatId");
  /** Returns the ids of the users that type in a chat now. */
  readonly listTyping = this.part(presence.listTyping, "userIds", "chatId");

  /** Gives the ids of the users that are online and not hidden, in no order. Only a service may. */
  async *listOnline(options?: CallOptions): AsyncGenerator<string, void, undefined> {
    for await (const { userIds } of this.calls.stream(presence.streamOnlineUsers, {}, options)) {
      yield* userIds;
    }
  }
}

/** Sessions opens and closes logins of users. */
export class Sessions extends Service {
  /** Begins a session and returns its token, once. Not retried: after a lost response, open another session. Only a service may. */
  readonly open = this.once(session.openSession, "userId");
  /** Returns the session of a token, and counts as its use. Only a service may. */
  readonly get = this.part(session.getSession, "session", "token");
  /** Gives a session another token. Not retried: if the response is lost, so may be the session. */
  readonly rotate = this.once(session.rotateSession);
  /** Returns a user's live sessions in the order in which they were opened. */
  readonly list = this.part(session.listSessions, "sessions");
  /** Ends a session. Not retried: it may end the session of the call's own token. */
  readonly close = this.once(session.closeSession);
  /** Ends all sessions of a user, and returns their number. Not retried: it may end the session of the call's own token. */
  readonly closeAll = this.once(session.closeAllSessions);
}

/** Limits takes from the limits that the server's configuration sets. Only a service may. */
export class Limits extends Service {
  /** Takes calls of a kind by a subject, all or none. Not retried: taking again takes again. */
  readonly take = this.once(LimitService.method.take, "kind", "subject");
}
