import type * as groups from "./gen/chatcore/admin/v1/group_pb.js";
import type * as webhooks from "./gen/chatcore/admin/v1/webhook_pb.js";
import type * as proto from "./gen/chatcore/v1/chat_pb.js";
import type * as events from "./gen/chatcore/v1/event_pb.js";
import type * as messages from "./gen/chatcore/v1/message_pb.js";
import type * as presence from "./gen/chatcore/v1/presence_pb.js";
import type * as sessions from "./gen/chatcore/v1/session_pb.js";
import type * as types from "./gen/chatcore/v1/types_pb.js";
import type { Plain } from "./types.js";

export type {
  Admission,
  Broadcast,
  ChatChange,
  ChatKind,
  EndpointState,
  Following,
  GroupKind,
  Hiding,
  Input,
  JsonObject,
  NotifyLevel,
  Plain,
  PoisonPolicy,
  Restriction,
  Role,
  SettleStatus,
  Severity,
  Status,
  Visibility,
} from "./types.js";

/** Chat is a conversation. */
export type Chat = Plain<types.Chat>;
/** ListedChat is a chat in a user's list. */
export type ListedChat = Plain<proto.ListedChat>;
/** MessagePreview is a message as a list of chats shows it. */
export type MessagePreview = Plain<proto.MessagePreview>;
/** Member is the present membership of one user. */
export type Member = Plain<types.Member>;
/** RestrictedUser is a ban or a mute that is in force. */
export type RestrictedUser = Plain<proto.RestrictedUser>;
/** Contact is a user that another user knows. */
export type Contact = Plain<proto.Contact>;
/** Message is a message in its present state, or as of a seq. */
export type Message = Plain<types.Message>;
/** Thread is a thread as a user sees it. */
export type Thread = Plain<types.Thread>;
/** Attachment refers to a file that is kept elsewhere. */
export type Attachment = Plain<types.Attachment>;
/** CommandResult is the result of a command that was carried out. */
export type CommandResult = Plain<types.CommandResult>;
/** UserChatSettings are the settings of one user for a chat. */
export type UserChatSettings = Plain<types.UserChatSettings>;
/** Sent is the result of a send. */
export type Sent = Plain<messages.SendMessageResponse>;
/** UnreadChat is the number of unread messages in one chat. */
export type UnreadChat = Plain<messages.UnreadChat>;
/** Event is a durable event in its place in a chat's log. The property of its content depends on type. */
export type Event = Plain<events.Event>;
/** UserStatus is the status of one user. */
export type UserStatus = Plain<presence.UserStatus>;
/** Session is one login of a user. */
export type Session = Plain<sessions.Session>;
/** Group is the state of a consumer group. */
export type Group = Plain<groups.Group>;
/** GroupDefinition is what was defined about a group. */
export type GroupDefinition = Plain<groups.GroupDefinition>;
/** Webhook is a group that sends events to an endpoint. */
export type Webhook = Plain<webhooks.Webhook>;
/** WebhookAttempt is one request to an endpoint. */
export type WebhookAttempt = Plain<webhooks.WebhookAttempt>;
