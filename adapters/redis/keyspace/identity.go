package keyspace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chatcore/domain"
)

// Text returns the names that are not the default, for an identity: NAME=VALUE, sorted and separated by spaces. An unset name and one set to the
// default are the same.
func (n Names) Text() string {
	n = n.WithDefaults()
	var set []string
	for _, f := range n.identified() {
		if *f.value != f.byDefault {
			set = append(set, f.name+"="+*f.value)
		}
	}
	for typ, channel := range n.Channels {
		if channel != "" && channel != typ {
			set = append(set, channelPrefix+typ+"="+channel)
		}
	}
	slices.Sort(set)
	return strings.Join(set, " ")
}

const channelPrefix = "Channels/"

type identifiedName struct {
	name, byDefault string
	value           *string
}

// identified lists the names that all programs on a log must agree on: all but the channels, which text adds. The strings in it must not change,
// because they are stored.
func (n *Names) identified() []identifiedName {
	byDefault := make(map[*string]string)
	for name, field := range n.fields() {
		byDefault[field] = name
	}
	named := []identifiedName{
		{name: "Stream", value: &n.Stream},
		{name: "Session", value: &n.Session},
		{name: "UserStatus", value: &n.UserStatus},
		{name: "UserOnline", value: &n.UserOnline},
		{name: "ChatList", value: &n.ChatList},
		{name: "ChatUnread", value: &n.ChatUnread},
		{name: "Message", value: &n.Message},
		{name: "ContactList", value: &n.ContactList},
		{name: "Typing", value: &n.Typing},
		{name: "Presence", value: &n.Presence},
		{name: "RateLimit", value: &n.RateLimit},
	}
	for i := range named {
		named[i].byDefault = byDefault[named[i].value]
	}
	return named
}

// With returns the names with one of them changed: a field such as Session, or Channels/ followed by an event type. An empty value selects the
// default. The error is a [*domain.InvalidError].
func (n Names) With(name, value string) (Names, error) {
	if err := n.Set(name, value); err != nil {
		return n, err
	}
	return n, n.WithDefaults().Check()
}

// Set sets one name, as [Names.With] does, without validation of the whole.
func (n *Names) Set(name, value string) error {
	if typ, channel := strings.CutPrefix(name, channelPrefix); channel {
		channels := maps.Clone(n.Channels)
		if channels == nil {
			channels = make(map[string]string)
		}
		channels[typ] = value
		n.Channels = channels
		return nil
	}
	var allowed []string
	for _, f := range n.identified() {
		if f.name == name {
			*f.value = value
			return nil
		}
		allowed = append(allowed, f.name)
	}
	return &domain.InvalidError{
		Field: "name", Problem: fmt.Sprintf("is %.80q", name), Allowed: strings.Join(allowed, ", ") + ", or " + channelPrefix + " and an event type",
	}
}

// ParseNames parses names in the form of [Names.Text], without validation.
func ParseNames(text string) map[string]string {
	names := make(map[string]string)
	for _, set := range strings.Fields(text) {
		name, value, _ := strings.Cut(set, "=")
		names[name] = value
	}
	return names
}

// NamesOf parses the names of an identity.
func NamesOf(text string) (Names, error) {
	var n Names
	for name, value := range ParseNames(text) {
		if err := n.Set(name, value); err != nil {
			return n, err
		}
	}
	return n, n.WithDefaults().Check()
}
