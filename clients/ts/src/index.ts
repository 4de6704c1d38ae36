export { Client, createClient, type ClientOptions } from "./client.js";
export type { CallOptions } from "./calls.js";
export { ChatcoreError, hasCode, hasReason, type ErrorCode, type ErrorFields } from "./errors.js";
export { newId } from "./ids.js";
export { Pages, type Page } from "./pages.js";
export type { SendInput, SendResult } from "./services.js";
export type * from "./models.js";
