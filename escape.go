package chatcore

import "chatcore/adapters/redis/keyspace"

// EscapeKey turns any text into a part of a key, or of a pattern: it percent-encodes characters that are special in either, the colon too. Plain ids
// stay unchanged.
func EscapeKey(part string) string { return keyspace.Escape(part) }
