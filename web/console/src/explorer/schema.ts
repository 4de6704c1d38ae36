import type { DescField, DescMethod, DescService, ScalarType } from "@chatcore/protobuf";
import { newId } from "@chatcore/client";
import { DeadLetterService } from "@chatcore/gen/chatcore/admin/v1/dead_letter_pb.js";
import { ErasureService } from "@chatcore/gen/chatcore/admin/v1/erasure_pb.js";
import { GroupService } from "@chatcore/gen/chatcore/admin/v1/group_pb.js";
import { HealthService } from "@chatcore/gen/chatcore/admin/v1/health_pb.js";
import { RetentionService } from "@chatcore/gen/chatcore/admin/v1/retention_pb.js";
import { WebhookService } from "@chatcore/gen/chatcore/admin/v1/webhook_pb.js";
import { ConsumerService } from "@chatcore/gen/chatcore/consumer/v1/consumer_pb.js";
import { ChatService } from "@chatcore/gen/chatcore/v1/chat_pb.js";
import { FeedService } from "@chatcore/gen/chatcore/v1/feed_pb.js";
import { LimitService } from "@chatcore/gen/chatcore/v1/limit_pb.js";
import { LogService } from "@chatcore/gen/chatcore/v1/log_pb.js";
import { MessageService } from "@chatcore/gen/chatcore/v1/message_pb.js";
import { PresenceService } from "@chatcore/gen/chatcore/v1/presence_pb.js";
import { SessionService } from "@chatcore/gen/chatcore/v1/session_pb.js";

/** services are all services of the API. */
export const services: readonly DescService[] = [
  ChatService, MessageService, LogService, FeedService, PresenceService, SessionService, LimitService, ConsumerService, GroupService, DeadLetterService, WebhookService, RetentionService, ErasureService, HealthService,
];

export const pathOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

export const isStream = (method: DescMethod): boolean => method.methodKind !== "unary";

export const isRead = (method: DescMethod): boolean => method.idempotency === 1;

const wellKnown = { "google.protobuf.Timestamp": "time", "google.protobuf.Duration": "duration" } as const;

/** typeOf names the type of a field. */
export function typeOf(field: DescField): string {
  const one = field.message ? (wellKnown[field.message.typeName as keyof typeof wellKnown] ?? field.message.name) : field.enum ? field.enum.name : scalar(field.scalar);
  return field.fieldKind === "list" ? `${one}[]` : field.fieldKind === "map" ? `map of ${one}` : one;
}

function scalar(type: ScalarType | undefined): string {
  switch (type) {
    case 9 satisfies ScalarType.STRING:
      return "string";
    case 8 satisfies ScalarType.BOOL:
      return "bool";
    case 12 satisfies ScalarType.BYTES:
      return "base64";
    default:
      return "number";
  }
}

// Values that make a request of the sample chats work as it is.
const examples: Record<string, () => unknown> = {
  chat_id: () => "hike",
  actor_id: () => "ada",
  user_id: () => "ada",
  command_id: () => newId(),
  message_id: () => "hike-1",
  content: () => "Hello from the console",
  title: () => "Weekend hike",
  emoji: () => "👍",
  user_ids: () => ["ada", "ben"],
  device_id: () => "console",
  status: () => "STATUS_ONLINE",
  role: () => "ROLE_ADMIN",
  type: () => "poll:created",
  data: () => "{}",
  entity_id: () => "poll-1",
  group: () => "push",
  name: () => "push",
  url: () => "https://example.com/hooks/chat",
  id: () => "1",
  token: () => "TOKEN",
  session_id: () => "SESSION",
  kind: () => "send",
  subject: () => "ada",
};

const others: Record<string, Record<string, unknown>> = {
  CreateChat: { chat_id: "picnic", title: "Picnic", member_ids: ["ben"] },
  SendMessage: { message_id: undefined },
  AddMember: { user_id: "emil" },
  RemoveMember: { user_id: "emil" },
  PromoteMember: { user_id: "cem" },
  DemoteMember: { user_id: "cem", role: "ROLE_MEMBER" },
  MarkRead: { command_id: undefined },
  ListAuditEvents: { user_id: undefined },
  CloseSession: { user_id: "ada" },
  CreateGroup: { group: "emails" },
  UpdateGroup: { settings: { event_types: ["message:new"] } },
  CreateFeedTicket: { actor_id: "ada" },
  ListGroups: {},
};

/** exampleOf returns a request of a method that may be sent as it is. */
export function exampleOf(method: DescMethod): Record<string, unknown> {
  const request: Record<string, unknown> = {};
  for (const { name } of method.input.fields) {
    const example = examples[name];
    if (example && !(isRead(method) && name === "actor_id" && !method.name.startsWith("ListTyping"))) {
      request[name] = example();
    }
  }
  if (method.name === "SendMessages") {
    return { messages: [{ chat_id: "hike", actor_id: "ada", message_id: newId(), content: "Hello from the console" }] };
  }
  Object.assign(request, others[method.name]);
  if (method.name === "SendMessage") {
    request.message_id = newId();
  }
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
}

/** emptyValue is what a field is added with. */
export function emptyValue(field: DescField): unknown {
  const known = examples[field.name]?.();
  if (known !== undefined) {
    return known;
  }
  if (field.fieldKind === "list") {
    return [];
  }
  if (field.fieldKind === "map") {
    return {};
  }
  if (field.message) {
    switch (typeOf(field)) {
      case "time":
        return new Date().toISOString();
      case "duration":
        return "30s";
    }
    return {};
  }
  if (field.enum) {
    return field.enum.values[1]?.name ?? "";
  }
  switch (typeOf(field)) {
    case "bool":
      return true;
    case "number":
      return 1;
  }
  return "";
}

/** allowedOf lists the names of an enum. */
export const allowedOf = (field: DescField): string => field.enum?.values.slice(1).map(({ name }) => name).join(", ") ?? "";

export type { DescMethod };
