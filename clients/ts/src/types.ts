import type { Message as ProtoMessage } from "@bufbuild/protobuf";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { ErrorFields } from "./errors.js";
import type { GroupKind as ProtoGroupKind, PoisonPolicy as ProtoPoisonPolicy } from "./gen/chatcore/admin/v1/group_pb.js";
import type { Severity as ProtoSeverity } from "./gen/chatcore/admin/v1/health_pb.js";
import type { EndpointState as ProtoEndpointState } from "./gen/chatcore/admin/v1/webhook_pb.js";
import type { SettleStatus as ProtoSettleStatus } from "./gen/chatcore/consumer/v1/consumer_pb.js";
import type { Admission as ProtoAdmission } from "./gen/chatcore/v1/chat_pb.js";
import type { ErrorDetail } from "./gen/chatcore/v1/errors_pb.js";
import type { ChatChange as ProtoChatChange } from "./gen/chatcore/v1/event_pb.js";
import type { AttachmentList, MentionList } from "./gen/chatcore/v1/message_pb.js";
import type {
  Attachment,
  Broadcast as ProtoBroadcast,
  ChatKind as ProtoChatKind,
  Following as ProtoFollowing,
  Hiding as ProtoHiding,
  NotifyLevel as ProtoNotifyLevel,
  Restriction as ProtoRestriction,
  Role as ProtoRole,
  Status as ProtoStatus,
  Visibility as ProtoVisibility,
} from "./gen/chatcore/v1/types_pb.js";

/** JsonObject is a JSON object. */
export type JsonObject = { [key: string]: unknown };

type Names<E> = Lowercase<keyof E & string>;

/** Role is the set of rights of a member. "unspecified" is a role that this version of the client does not know. */
export type Role = Names<typeof ProtoRole>;
/** Status is how available a user is. "unspecified" is a status that this version of the client does not know. */
export type Status = Names<typeof ProtoStatus>;
/** ChatKind is the kind of a chat. "unspecified" is a kind that this version of the client does not know. */
export type ChatKind = Names<typeof ProtoChatKind>;
/** Visibility says who may see and join a chat. "unspecified" in a request leaves it as it is. */
export type Visibility = Names<typeof ProtoVisibility>;
/** NotifyLevel is which messages of a chat a user is notified of. "unspecified" in a request leaves it as it is. */
export type NotifyLevel = Names<typeof ProtoNotifyLevel>;
/** Hiding is whether a user's chat list leaves a chat out. "unspecified" in a request leaves it as it is. */
export type Hiding = Names<typeof ProtoHiding>;
/** Restriction is what a user of a group may not do. "unspecified" is a restriction that this version of the client does not know. */
export type Restriction = Names<typeof ProtoRestriction>;
/** Admission is what became of a user who was added. "unspecified" is a result that this version of the client does not know. */
export type Admission = Names<typeof ProtoAdmission>;
/** Broadcast is a mention of a group of members. "unspecified" is none. */
export type Broadcast = Names<typeof ProtoBroadcast>;
/** Following is a change of whether a user follows a thread. "unspecified" leaves it as it is. */
export type Following = Names<typeof ProtoFollowing>;
/** ChatChange is the kind of change of a ChatUpdate. "unspecified" is a change that this version of the client does not know. */
export type ChatChange = Names<typeof ProtoChatChange>;
/** Severity is how bad a finding is. "unspecified" is a severity that this version of the client does not know. */
export type Severity = Names<typeof ProtoSeverity>;
/** GroupKind is the kind of a defined group's handlers. "unspecified" is a kind that this version of the client does not know. */
export type GroupKind = Names<typeof ProtoGroupKind>;
/** PoisonPolicy says what happens to a chat when one of its events becomes a dead letter. "unspecified" is the default. */
export type PoisonPolicy = Names<typeof ProtoPoisonPolicy>;
/** EndpointState is what an instance knows of an endpoint. "unspecified": it does not run the webhook. */
export type EndpointState = Names<typeof ProtoEndpointState>;
/** SettleStatus says whether a settlement took effect. "unspecified" is a status that this version of the client does not know. */
export type SettleStatus = Names<typeof ProtoSettleStatus>;

// An enum in TypeScript accepts every number. The text of a type distinguishes its members from number.
type EnumName<T extends number> = `${T}` extends `${infer N extends number}`
  ? number extends N
    ? number
    : T extends ProtoRole
      ? Role
      : T extends ProtoStatus
        ? Status
        : T extends ProtoChatChange
          ? ChatChange
          : T extends ProtoSeverity
            ? Severity
            : T extends ProtoGroupKind
              ? GroupKind
              : T extends ProtoPoisonPolicy
                ? PoisonPolicy
                : T extends ProtoEndpointState
                  ? EndpointState
                  : T extends ProtoSettleStatus
                    ? SettleStatus
                    : T extends ProtoChatKind
                      ? ChatKind
                      : T extends ProtoVisibility
                        ? Visibility
                        : T extends ProtoRestriction
                          ? Restriction
                          : T extends ProtoAdmission
                            ? Admission
                            : T extends ProtoBroadcast
                              ? Broadcast
                              : T extends ProtoFollowing
                                ? Following
                                : T extends ProtoNotifyLevel
                                  ? NotifyLevel
                                  : T extends ProtoHiding
                                    ? Hiding
                                : never
  : number;

/** Value is the plain form of the value of a field. */
type Value<T> = T extends Timestamp
  ? Date
  : T extends Duration | bigint
    ? number
    : T extends ErrorDetail
      ? ErrorFields
      : T extends MentionList
        ? string[]
        : T extends AttachmentList
          ? Plain<Attachment>[]
          : T extends Uint8Array
            ? Uint8Array
            : T extends (infer E)[]
              ? Value<E>[]
              : T extends ProtoMessage
                ? Plain<T>
                : T extends number
                  ? EnumName<T>
                  : T extends object
                    ? { [K in keyof T]: Value<T[K]> }
                    : T;

type JsonKey = "clientMeta" | "data";
type OneofKey<T> = { [K in keyof T]-?: T[K] extends { case: string | undefined } ? K : never }[keyof T];
type FieldKey<T> = Exclude<keyof T, "$typeName" | "$unknown" | JsonKey | OneofKey<T>>;
type Optional<T> = { [K in keyof T]?: T[K] | undefined };
type Simplify<T> = T extends unknown ? { [K in keyof T]: T[K] } : never;

// A oneof becomes one property of several: { sent } or { error }. A message of the API has one oneof at most.
type Cases<O> = O extends { case: infer C extends string } ? C : never;
type OneofValue<O, All = O> = [O] extends [never]
  ? unknown
  : O extends { case: infer C extends string; value: infer V }
    ? { [K in C]: Value<V> } & { [K in Exclude<Cases<All>, C>]?: undefined }
    : { [K in Cases<All>]?: undefined };
type OneofInput<O, All = O> = [O] extends [never]
  ? unknown
  : O extends { case: infer C extends string; value: infer V }
    ? { [K in C]: InputValue<V> } & { [K in Exclude<Cases<All>, C>]?: undefined }
    : { [K in Cases<All>]?: undefined };

/**
 * Plain is the plain form of a message of the API: dates for timestamps, milliseconds for durations, lower-case names for enums, one property for a oneof.
 * JSON in a text is an object, and its exact text stands in a second property: clientMeta and clientMetaText, data and dataText.
 */
export type Plain<T> = Simplify<
  { [K in keyof T as K extends FieldKey<T> ? K : never]: Value<T[K]> } & {
    [K in keyof T as K extends JsonKey ? K : never]?: JsonObject | undefined;
  } & { [K in keyof T as K extends JsonKey ? `${K}Text` : never]: string } & OneofValue<T[OneofKey<T>]>
>;

/** InputValue is the plain form of the value of a field of a request. */
type InputValue<T> = T extends Timestamp
  ? Date
  : T extends Duration | bigint
    ? number
    : T extends MentionList
      ? readonly string[]
      : T extends AttachmentList
        ? readonly Input<Attachment>[]
        : T extends (infer E)[]
          ? readonly InputValue<E>[]
          : T extends ProtoMessage
            ? Input<T>
            : T extends number
              ? Exclude<EnumName<T>, "unspecified">
              : T extends object
                ? { readonly [K in keyof T]: Value<T[K]> }
                : T;

type InputFields<T> = { [K in keyof T as K extends FieldKey<T> ? K : never]: InputValue<T[K]> } & {
  [K in keyof T as K extends JsonKey ? K : never]: JsonObject | string;
};

/**
 * Input is the plain form of a request, with the fields R required. JSON that the API takes as text is an object, or the exact text.
 */
export type Input<T, R extends string = never> = Simplify<
  Optional<InputFields<T>> & Required<Pick<InputFields<T>, R & keyof InputFields<T>>> & OneofInput<T[OneofKey<T>]>
>;
