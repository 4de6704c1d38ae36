package keyspace

import (
	"strings"

	"chatcore/domain"
)

// Custom has the keys of callers: of helpers and of effects.
type Custom struct{ base }

// Of returns the name of a custom key or channel.
func (k Custom) Of(key string) string { return k.prefix + key }

// Check returns an error if a caller may not use a key because it is reserved for chatcore. It must be called for every key that a caller
// provides, for example to helpers and effects.
func (k Custom) Check(field, key string) error {
	if k.Reserved(key) {
		return &domain.InvalidError{Field: field, Problem: "is of an event log or of chatcore's own records", Allowed: "keys of other names"}
	}
	return nil
}

// Reserved reports whether a key, including its namespace, belongs to an event log or to chatcore's own records: in this namespace, in none, or in
// another one. The end of another namespace is unknown, but ids are escaped, so that no key with a user's id looks like a reserved one.
func (k Custom) Reserved(key string) bool {
	if rest, ours := strings.CutPrefix(key, k.prefix); ours && k.ofLog(rest) {
		return true
	}
	for rest, found := key, true; found; _, rest, found = strings.Cut(rest, ":") {
		switch {
		case rest == OwnPrefix+"log", rest == OwnPrefix+"definitions", strings.HasPrefix(rest, OwnPrefix+"{"), strings.HasPrefix(rest, OwnPrefix+"once:{"),
			strings.HasPrefix(rest, OwnPrefix+"user-"), strings.HasPrefix(rest, OwnPrefix+"sessions:"), strings.HasPrefix(rest, OwnPrefix+"presence"),
			strings.HasPrefix(rest, OwnPrefix+"gcra:"), strings.HasPrefix(rest, OwnPrefix+"webhook-"), strings.HasPrefix(rest, OwnPrefix+"feed:"):
			return true
		case rest == k.names.Stream, strings.HasPrefix(rest, k.names.Stream+":{"):
			return true
		}
	}
	return false
}

// ofLog reports whether a name without the namespace is reserved in this namespace.
func (k Custom) ofLog(rest string) bool {
	return strings.HasPrefix(rest, OwnPrefix) || rest == k.names.Stream || strings.HasPrefix(rest, k.names.Stream+":")
}

// Marker returns the key of the marker of an effect on a key. Both have the same slot. It returns false for a key without a determinable slot. The
// marker of an effect without a key may be in any slot.
func (k Custom) Marker(on, name, identity string) (string, bool) {
	tag, ok := tagOf(on)
	if on == "" {
		tag, ok = identity, true
	}
	return k.prefix + "cc:once:{" + tag + "}:" + Escape(name) + ":" + identity, ok
}
