import { create, ScalarType, type DescEnum, type DescField, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import {
  DurationSchema,
  durationFromMs,
  durationMs,
  FeatureSet_FieldPresence,
  TimestampSchema,
  timestampFromDate,
  timestampMs,
  type Duration,
  type Timestamp,
} from "@bufbuild/protobuf/wkt";
import { errorFields, invalid } from "./errors.js";
import { ErrorDetailSchema, type ErrorDetail } from "./gen/chatcore/v1/errors_pb.js";
import { AttachmentListSchema, MentionListSchema } from "./gen/chatcore/v1/message_pb.js";
import type { JsonObject, Plain } from "./types.js";

type Properties = { [key: string]: unknown };

/** toPlain converts a message of the API to its plain form. */
export function toPlain<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Plain<MessageShape<Desc>> {
  return plainMessage(reflect(schema, message)) as Plain<MessageShape<Desc>>;
}

function plainMessage(message: ReflectMessage): unknown {
  const { desc } = message;
  switch (desc.typeName) {
    case TimestampSchema.typeName:
      return new Date(timestampMs(message.message as Timestamp));
    case DurationSchema.typeName:
      return durationMs(message.message as Duration);
    case ErrorDetailSchema.typeName:
      return errorFields(message.message as ErrorDetail);
  }
  const plain: Properties = {};
  for (const field of desc.fields) {
    if (field.presence === FeatureSet_FieldPresence.EXPLICIT && !message.isSet(field)) {
      continue;
    }
    plain[field.localName] = plainField(message, field);
    if (isJson(field)) {
      const text = String(plain[field.localName]);
      plain[`${field.localName}Text`] = text;
      plain[field.localName] = parsed(text);
    }
  }
  return plain;
}

function plainField(message: ReflectMessage, field: DescField): unknown {
  const value: unknown = message.get(field as never);
  switch (field.fieldKind) {
    case "list":
      return Array.from(value as Iterable<unknown>, (item) => plainItem(field, item));
    case "map":
      return Object.fromEntries(Array.from(value as Iterable<[string, unknown]>, ([key, item]) => [key, plainItem(field, item)]));
    default:
      return plainItem(field, value);
  }
}

function plainItem(field: DescField, value: unknown): unknown {
  if (field.message) {
    return plainMessage(value as ReflectMessage);
  }
  if (field.enum) {
    return enumName(field.enum, value as number);
  }
  return typeof value === "bigint" ? Number(value) : value;
}

/** fromPlain converts the plain form of a request. It throws an invalid_argument that names the property if one is unknown or of another type. */
export function fromPlain<Desc extends DescMessage>(schema: Desc, plain: object): MessageShape<Desc> {
  return create(schema, init(schema, plain as Properties, "") as MessageInitShape<Desc>);
}

function init(schema: DescMessage, plain: Properties, path: string): Properties {
  const message: Properties = {};
  for (const [key, value] of Object.entries(plain)) {
    if (value === undefined) {
      continue;
    }
    const field = schema.fields.find((field) => field.localName === key);
    if (field === undefined) {
      throw invalid(path + key, "is unknown", schema.fields.map((field) => field.localName).join(", "));
    }
    const item = initField(field, value, path + key);
    if (field.oneof) {
      if (message[field.oneof.localName] !== undefined) {
        throw invalid(path + key, "excludes another property", "one of " + field.oneof.fields.map((field) => field.localName).join(", "));
      }
      message[field.oneof.localName] = { case: key, value: item };
    } else {
      message[key] = item;
    }
  }
  return message;
}

function initField(field: DescField, value: unknown, path: string): unknown {
  if (field.fieldKind === "list") {
    return checked(Array.isArray(value), value as unknown[], path, "an array").map((item, i) => initItem(field, item, `${path}[${i}]`));
  }
  if (field.fieldKind === "map") {
    const items = Object.entries(object(value, path));
    return Object.fromEntries(items.map(([key, item]) => [key, field.enum && item === "unspecified" ? 0 : initItem(field, item, `${path}.${key}`)]));
  }
  if (isJson(field)) {
    return typeof value === "string" ? value : JSON.stringify(object(value, path));
  }
  return initItem(field, value, path);
}

function initItem(field: DescField, value: unknown, path: string): unknown {
  switch (field.message?.typeName) {
    case undefined:
      return field.enum ? enumNumber(field.enum, value, path) : initScalar(field, value, path);
    case TimestampSchema.typeName:
      return timestampFromDate(checked(value instanceof Date && !Number.isNaN(value.getTime()), value as Date, path, "a valid Date"));
    case DurationSchema.typeName:
      return durationFromMs(checked(Number.isFinite(value), value as number, path, "a number of milliseconds"));
    case MentionListSchema.typeName:
    case AttachmentListSchema.typeName: {
      const list = field.message!.fields[0]!;
      return { [list.localName]: initField(list, value, path) };
    }
  }
  return init(field.message!, object(value, path), path + ".");
}

/** initScalar checks a string, boolean or integer. Requests have no other scalars. */
function initScalar(field: DescField, value: unknown, path: string): unknown {
  switch (field.scalar) {
    case ScalarType.STRING:
      return checked(typeof value === "string", value, path, "a string");
    case ScalarType.BOOL:
      return checked(typeof value === "boolean", value, path, "true or false");
    case ScalarType.INT64:
      return BigInt(checked(Number.isSafeInteger(value), value as number, path, "an integer up to 9007199254740991"));
    default:
      return checked(Number.isInteger(value) && (value as number) >>> 0 === value, value, path, "an integer from 0 to 4294967295");
  }
}

function checked<T>(valid: boolean, value: T, path: string, allowed: string): T {
  if (!valid) {
    throw invalid(path, "has the wrong type", allowed);
  }
  return value;
}

function object(value: unknown, path: string): Properties {
  return checked(typeof value === "object" && value !== null && !Array.isArray(value), value as Properties, path, "an object");
}

/** isJson reports whether a field is a JSON object as text. */
function isJson(field: DescField): boolean {
  return field.fieldKind === "scalar" && (field.localName === "clientMeta" || field.localName === "data");
}

function parsed(text: string): JsonObject | undefined {
  try {
    return text === "" ? undefined : (JSON.parse(text) as JsonObject);
  } catch {
    return undefined; // the exact text stands beside it
  }
}

function enumName(desc: DescEnum, number: number): string {
  return (desc.value[number] ?? desc.values[0]!).localName.toLowerCase();
}

function enumNumber(desc: DescEnum, name: unknown, path: string): number {
  const names = desc.values.slice(1).map((value) => value.localName.toLowerCase());
  const index = names.indexOf(String(name));
  if (index < 0) {
    throw invalid(path, "is unknown", names.join(", "));
  }
  return desc.values[index + 1]!.number;
}
