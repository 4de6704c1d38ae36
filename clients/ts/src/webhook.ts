import { ChatcoreError, invalid } from "./errors.js";
import type { Event, JsonObject } from "./models.js";
import { wireEvent } from "./wire_event.js";

/** WebhookRequest is a request that a webhook has sent, and how it is verified. */
export interface WebhookRequest {
  /** Secret of the webhook, "whsec_" and base64. */
  secret?: string | undefined;
  /** Secrets of the webhook, instead of one, while they are rotated. A signature by any of them is enough. */
  secrets?: readonly string[] | undefined;
  /** Headers of the request: Headers, or an object such as the headers of a request in Node. */
  headers: WebhookHeaders;
  /** Body of the request, byte for byte as it was received. JSON that was parsed and written again has another signature. */
  body: string | Uint8Array;
  /** Milliseconds by which the time of the request may differ from the clock of this process. Defaults to 300,000. */
  toleranceMs?: number | undefined;
}

/** WebhookHeaders are the headers of a request. */
export type WebhookHeaders = { get(name: string): string | null } | { readonly [name: string]: string | readonly string[] | undefined };

/** WebhookDelivery is an event that a webhook has sent. */
export interface WebhookDelivery {
  /** The event, as feeds and consumers have it. Its id is the same in every delivery: an effect that is unique by it happens once. */
  readonly event: Event;
  /** Whether the request is of WebhookService.TestWebhook. Its event is of type "webhook:test", in no chat. */
  readonly isTest: boolean;
  /** Number of the chat's last message as of the event. */
  readonly ordinal: number;
  /** Attempts for the event, from 1. */
  readonly attempt: number;
  /** Epoch of the sender: it grows with every owner of the event's partition. An effect with a lower epoch than another one of the chat is late. */
  readonly epoch: number;
  /** Id of the log. Another id is another log, with other seqs. */
  readonly logId: string;
  /** When the request was sent, in seconds precision. */
  readonly sentAt: Date;
  /** The event as it was sent: one JSON object. */
  readonly data: JsonObject;
}

const defaultToleranceMs = 5 * 60 * 1_000;
const prefix = "whsec_";
const mostSignatures = 32;

/**
 * verifyWebhook verifies the signature of a request as Standard Webhooks says, and returns its event. It uses WebCrypto, so that it works in Node and in
 * workers.
 *
 * It throws a ChatcoreError with code "unauthenticated" and one of the reasons "webhook_headers" (a header is missing or wrong), "webhook_too_old",
 * "webhook_too_new" and "webhook_signature". Answer these with status 401. A signed body that is no event is "invalid_argument" with reason "webhook_body", and
 * a wrong secret or option "invalid_argument" with reason "invalid".
 */
export async function verifyWebhook(request: WebhookRequest): Promise<WebhookDelivery> {
  const keys = await Promise.all(secretsOf(request).map(importKey));
  const { headers, body, toleranceMs = defaultToleranceMs } = request;
  if (typeof body !== "string" && !(body instanceof Uint8Array)) {
    throw invalid("body", "has the wrong type", "the body as it was received, a string or bytes");
  }
  if (!(toleranceMs >= 0)) {
    throw invalid("toleranceMs", `is ${toleranceMs}`, "0 or more");
  }
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => required(headers, name)) as [string, string, string];
  const sentAt = timeOf(timestamp, toleranceMs);
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = concat(new TextEncoder().encode(`${id}.${timestamp}.`), bytes);
  if (!(await isSigned(keys, signatures, signed))) {
    throw refused("webhook_signature", "no signature of the request is by a secret of the webhook");
  }
  const data = dataOf(bytes, id);
  const event = wireEvent(data);
  return {
    event,
    isTest: event.type === "webhook:test",
    ordinal: typeof data["ordinal"] === "number" ? data["ordinal"] : 0,
    attempt: numberOf(headers, "chatcore-attempt"),
    epoch: numberOf(headers, "chatcore-epoch"),
    logId: headerOf(headers, "chatcore-log") ?? "",
    sentAt,
    data,
  };
}

function secretsOf({ secret, secrets }: WebhookRequest): readonly string[] {
  const all = secrets ?? (secret === undefined ? [] : [secret]);
  if (all.length === 0 || (secret !== undefined && secrets !== undefined)) {
    throw invalid("secret", all.length === 0 ? "is missing" : "excludes secrets", "one secret, or one or more secrets");
  }
  return all;
}

async function importKey(secret: string): Promise<CryptoKey> {
  let raw: Uint8Array<ArrayBuffer>;
  try {
    raw = base64(secret.startsWith(prefix) ? secret.slice(prefix.length) : secret);
  } catch {
    raw = new Uint8Array();
  }
  if (raw.length === 0) {
    throw invalid("secret", "is no secret", `${prefix} and base64`); // the text of the secret is in no error
  }
  return crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

/** isSigned reports whether one of the signatures is by one of the keys. Each comparison takes the same time, whatever the bytes. */
async function isSigned(keys: readonly CryptoKey[], signatures: string, signed: Uint8Array<ArrayBuffer>): Promise<boolean> {
  let valid = false;
  for (const signature of signatures.split(" ").slice(0, mostSignatures)) {
    const [version, text = ""] = signature.split(",", 2);
    if (version !== "v1") {
      continue; // of another scheme
    }
    let raw: Uint8Array<ArrayBuffer>;
    try {
      raw = base64(text);
    } catch {
      continue;
    }
    for (const key of keys) {
      valid = (await crypto.subtle.verify("HMAC", key, raw, signed)) || valid;
    }
  }
  return valid;
}

function timeOf(timestamp: string, toleranceMs: number): Date {
  if (!/^\d{1,12}$/.test(timestamp)) {
    throw refused("webhook_headers", "the header webhook-timestamp is no number of seconds");
  }
  const at = Number(timestamp) * 1_000;
  const ageMs = Date.now() - at;
  if (ageMs > toleranceMs) {
    throw refused("webhook_too_old", `the request is ${Math.round(ageMs / 1_000)} seconds old`);
  }
  if (-ageMs > toleranceMs) {
    throw refused("webhook_too_new", `the request is ${Math.round(-ageMs / 1_000)} seconds in the future`);
  }
  return new Date(at);
}

function dataOf(bytes: Uint8Array, id: string): JsonObject {
  let data: unknown;
  try {
    data = (JSON.parse(new TextDecoder().decode(bytes)) as { data?: unknown } | null)?.data;
  } catch (cause) {
    throw new ChatcoreError("invalid_argument", "the body is no JSON", { reason: "webhook_body" }, { cause });
  }
  if (typeof data !== "object" || data === null || typeof (data as JsonObject)["type"] !== "string" || !isId(id, (data as JsonObject)["eventId"])) {
    throw new ChatcoreError("invalid_argument", "the body is no event with the id of the header webhook-id", { reason: "webhook_body" });
  }
  return data as JsonObject;
}

/** isId reports whether a header is an id. Ids of other programs may have characters that headers have percent-encoded. */
function isId(header: string, id: unknown): boolean {
  try {
    return header === id || decodeURIComponent(header) === id;
  } catch {
    return false;
  }
}

function required(headers: WebhookHeaders, name: string): string {
  const value = headerOf(headers, name);
  if (!value) {
    throw refused("webhook_headers", `the header ${name} is missing`);
  }
  return value;
}

function headerOf(headers: WebhookHeaders, name: string): string | undefined {
  if (typeof headers.get === "function") {
    return headers.get(name) ?? undefined;
  }
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() === name && value !== undefined) {
      return typeof value === "string" ? value : (value as readonly string[])[0];
    }
  }
  return undefined;
}

function numberOf(headers: WebhookHeaders, name: string): number {
  const value = Number(headerOf(headers, name));
  return Number.isSafeInteger(value) ? value : 0;
}

function refused(reason: string, message: string): ChatcoreError {
  return new ChatcoreError("unauthenticated", message, { reason });
}

function base64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
