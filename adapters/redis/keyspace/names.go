package keyspace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// Names are the names under which other programs know keys, channels and the delivery stream. They are prefixes of keys and end before the id that
// follows. The zero value of each field selects the default. All programs that share the Redis must use the same names. Changing the name of a log's
// stream does not rename the stream.
type Names struct {
	Stream      string // Defaults to message-delivery-stream
	Session     string // Defaults to session:
	UserStatus  string // Defaults to user:status:
	UserOnline  string // the whole key. Defaults to user:online:
	ChatList    string // Defaults to chat:list:
	ChatUnread  string // Defaults to chat:unread:
	Message     string // Defaults to message:
	ContactList string // Defaults to contact:list:
	Typing      string // Defaults to typing:
	Presence    string // Defaults to presence:
	RateLimit   string // Defaults to ratelimit:

	// Channels are those of event types: message:new and so on. A type that is missing uses its own name.
	Channels map[string]string
}

func (n *Names) fields() map[string]*string {
	return map[string]*string{
		"message-delivery-stream": &n.Stream,
		"session:":                &n.Session,
		"user:status:":            &n.UserStatus,
		"user:online:":            &n.UserOnline,
		"chat:list:":              &n.ChatList,
		"chat:unread:":            &n.ChatUnread,
		"message:":                &n.Message,
		"contact:list:":           &n.ContactList,
		"typing:":                 &n.Typing,
		"presence:":               &n.Presence,
		"ratelimit:":              &n.RateLimit,
	}
}

// All returns every name, in no order.
func (n Names) All() []string {
	var all []string
	for _, name := range n.fields() {
		all = append(all, *name)
	}
	return all
}

// WithDefaults returns the names with the wire contract's defaults for empty ones.
func (n Names) WithDefaults() Names {
	for name, field := range n.fields() {
		if *field == "" {
			*field = name
		}
	}
	return n
}

// Check reports all invalid names: a name with special characters of patterns, one that is a prefix of another, or an unknown event type.
func (n Names) Check() error {
	var errs []error
	refuse := func(name, problem, allowed string) {
		errs = append(errs, &domain.InvalidError{Field: "Redis.Names " + name, Problem: problem, Allowed: allowed})
	}
	fields := n.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := *fields[name]
		if !plain(value) {
			refuse(name, "is "+strconv.Quote(value), allowedName)
		}
		if strings.Contains(":"+value+":", ":"+OwnPrefix) {
			refuse(name, "is "+strconv.Quote(value), "a name without the part "+OwnPrefix)
		}
		for _, other := range slices.Sorted(maps.Keys(fields)) {
			if name != other && strings.HasPrefix(value, *fields[other]) {
				refuse(name, fmt.Sprintf("is %q, and %s is %q", value, other, *fields[other]), "names of which none begins with another")
			}
		}
	}
	channels := make(map[string]string)
	for _, typ := range wireformat.LiveTypes() {
		channel := n.channel(typ)
		if !plain(channel) {
			refuse("Channels "+typ, "is "+strconv.Quote(channel), allowedName)
		}
		if other, taken := channels[channel]; taken {
			refuse("Channels "+typ, fmt.Sprintf("is %q, as that of %s is", channel, other), "a channel for each type")
		}
		channels[channel] = typ
	}
	for _, typ := range slices.Sorted(maps.Keys(n.Channels)) {
		if !slices.Contains(wireformat.LiveTypes(), typ) {
			refuse("Channels", "has "+strconv.Quote(typ), strings.Join(wireformat.LiveTypes(), ", "))
		}
	}
	return errors.Join(errs...)
}

func (n Names) channel(typ string) string {
	if channel := n.Channels[typ]; channel != "" {
		return channel
	}
	return typ
}

// OwnPrefix begins the keys that are internal to chatcore, after the namespace.
const OwnPrefix = "cc:"

const (
	maxName     = 64 // bytes
	allowedName = `1 to 64 printable characters without spaces and {}*?[]\%`
)

// plain reports whether a name has no special characters of patterns and hash tags.
func plain(s string) bool {
	return s != "" && len(s) <= maxName &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(" {}*?[]\\%", r) })
}

// CheckPrefix returns an error with the allowed form if a prefix is not valid for custom keys.
func (n Names) CheckPrefix(prefix string) error {
	if !plain(prefix) || !strings.HasSuffix(prefix, ":") {
		return errors.New(allowedName + ", the last of them a colon")
	}
	if strings.Contains(":"+prefix, ":"+OwnPrefix) {
		return fmt.Errorf("a prefix without the part %q", OwnPrefix)
	}
	n = n.WithDefaults()
	fields := n.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if own := *fields[name]; strings.HasPrefix(prefix, own) || strings.HasPrefix(own, prefix) {
			return fmt.Errorf("a prefix that does not begin with %q and is no beginning of it", own)
		}
	}
	return nil
}
