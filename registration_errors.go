package chatcore

import (
	"errors"
	"fmt"
	"reflect"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// Errors of registering handlers, groups and caches.
var (
	// ErrDuplicateName is returned for a name that is taken: of a consumer group, of a cache, or of an event type with two handlers in a group. The error
	// is a [*DuplicateError].
	ErrDuplicateName = errors.New("name taken")
	// ErrRunning is returned when a handler is added to a core that runs, or when such a core is started again.
	ErrRunning = errors.New("already running")
)

// DuplicateError names what was registered twice, and says what to call instead.
type DuplicateError struct {
	Kind    DuplicateKind
	Name    string // of the group, the event type or the prefix
	Group   string // of a handler; "" otherwise
	Instead string
}

// DuplicateKind is the kind of a registered thing.
type DuplicateKind string

// The kinds of a [DuplicateError].
const (
	DuplicateGroup   DuplicateKind = "consumer group"
	DuplicateHandler DuplicateKind = "handler"
	DuplicateCache   DuplicateKind = "cache"
)

func (e *DuplicateError) Error() string {
	if e.Kind == DuplicateHandler {
		return fmt.Sprintf("%v: group %q has a handler for %s already; %s", ErrDuplicateName, e.Group, e.Name, e.Instead)
	}
	return fmt.Sprintf("%v: this core has a %s %q already; %s", ErrDuplicateName, e.Kind, e.Name, e.Instead)
}

// Is reports that a DuplicateError is [ErrDuplicateName].
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicateName }

func duplicateGroup(s *registration) error {
	if s.builtin {
		return &DuplicateError{Kind: DuplicateGroup, Name: s.group, Instead: "call SubscribeBuiltins once"}
	}
	return &DuplicateError{
		Kind: DuplicateGroup, Name: s.group,
		Instead: "pass all handlers of the group to one call of Subscribe, or subscribe under another name, which gets every event as well",
	}
}

func duplicateHandler(group, typ string) error {
	return &DuplicateError{
		Kind: DuplicateHandler, Name: typ, Group: group,
		Instead: "call both functions from one On, or subscribe a second group",
	}
}

func duplicateCache(prefix string) error {
	return &DuplicateError{Kind: DuplicateCache, Name: prefix, Instead: "share the cache that the first NewCache returned, or choose another prefix"}
}

// lateCall returns err, the reason why a call comes too late, with what to call instead.
func lateCall(call string, err error) error {
	if errors.Is(err, ErrRunning) {
		return fmt.Errorf("%w: call %s before Start or Run", err, call)
	}
	return fmt.Errorf("%w: %s needs a core that has not ended; New opens another one", err, call)
}

// noHandler returns an error if a handler is nil.
func noHandler(call string, missing bool) error {
	if !missing {
		return nil
	}
	return &domain.InvalidError{Field: call, Problem: "has nil as handler", Allowed: "a function"}
}

// checkHandled returns an error if On has no events of type T: those of package domain, [domain.Custom] and [domain.Durable] have them.
func checkHandled[T domain.Durable]() error {
	var zero T
	handled := reflect.TypeFor[T]()
	if _, custom := any(zero).(domain.Custom); custom || wireformat.Type(zero) != "" || handled == reflect.TypeFor[domain.Durable]() {
		return nil
	}
	return &domain.InvalidError{
		Field: "On", Problem: "is for " + handled.String(),
		Allowed: "a durable event of package domain, domain.Durable for all events, domain.Custom for all custom events, or Definition.On for those of one type",
	}
}

// checkGroup returns an error if a subscription cannot be one of a group.
func checkGroup(s *registration) error {
	switch _, err := domain.ParseUserID(s.group); {
	case err != nil:
		return &domain.InvalidError{Field: "group", Problem: fmt.Sprintf("is %q", s.group), Allowed: "1 to 128 bytes of printable UTF-8 without spaces"}
	case s.group == BuiltinGroup && !s.builtin:
		return &domain.InvalidError{
			Field: "group", Problem: fmt.Sprintf("is %q, the group of the built-in subscribers", s.group),
			Allowed: "another name; SubscribeBuiltins adds the built-in subscribers",
		}
	case s.group == VaultGroup && !s.builtin:
		return &domain.InvalidError{Field: "group", Problem: fmt.Sprintf("is %q, the group of the archiver", s.group), Allowed: "another name; Config.Vault.Store adds the archiver"}
	case s.plain != nil && len(s.handlers) > 0:
		return &domain.InvalidError{
			Field: "options", Problem: "have an On beside the plain handler of SubscribeMessages", Allowed: "Subscribe with On, or SubscribeMessages without",
		}
	}
	s.checkOptions()
	return s.err
}
