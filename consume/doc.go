// Package consume handles the events of a pull group in a Go program that is no part of the log: it connects to the API of any instance of core serve.
//
// [Run] calls a handler for each delivery: at least once, a chat's events one after another in the order of their seqs, and those of different chats side by
// side. The error of a handler says what becomes of the delivery: none finishes it, and see [Permanent], [RetryAfter] and [NotNow]. An effect that must happen
// once is made unique by the id of the event, and one that replaces an earlier one is fenced by the epoch.
package consume
