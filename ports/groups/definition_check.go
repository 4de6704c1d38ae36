package groups

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatcore/domain"
)

// Bounds of definitions.
const (
	MaxEventTypes  = 256
	MaxChats       = 1024
	MaxAttempts    = 1000
	MinPause       = time.Millisecond
	MaxPause       = 24 * time.Hour
	MaxConcurrency = 4096
	MaxPauseReason = 512 // bytes
	MinTimeout     = time.Second
	MaxTimeout     = time.Minute
	MaxURL         = 2048 // bytes
)

// Kinds returns the known kinds.
func Kinds() []Kind { return []Kind{KindPull, KindWebhook} }

// WithDefaults returns the definition with the defaults of its kind: of a pull group 10 attempts, pauses of 500 ms to 1 min and a concurrency of 1,024; of a
// webhook 22 attempts, pauses of 5 s to 2 h, which span about 24 hours, a concurrency of 64 and a timeout of 15 s. A longest pause that is missing is at
// least the first one.
func (d Definition) WithDefaults() Definition {
	defaults := Retry{Attempts: 10, First: 500 * time.Millisecond, Max: time.Minute}
	concurrency := 1024
	if d.Kind == KindWebhook {
		defaults = Retry{Attempts: 22, First: 5 * time.Second, Max: 2 * time.Hour}
		concurrency = 64
	}
	if d.Retry.Attempts == 0 {
		d.Retry.Attempts = defaults.Attempts
	}
	switch {
	case d.Retry.First == 0 && d.Retry.Max == 0:
		d.Retry.First, d.Retry.Max = defaults.First, defaults.Max
	case d.Retry.First == 0:
		d.Retry.First = min(defaults.First, d.Retry.Max)
	case d.Retry.Max == 0:
		d.Retry.Max = max(defaults.Max, d.Retry.First)
	}
	if d.Concurrency == 0 {
		d.Concurrency = concurrency
	}
	if d.Webhook != nil && d.Webhook.Timeout == 0 {
		webhook := *d.Webhook
		webhook.Timeout = 15 * time.Second
		d.Webhook = &webhook
	}
	return d
}

// Validate returns a [*domain.InvalidError] that names the first field that is wrong, or nil. Whether an endpoint may be called is for its runner to say.
func (d Definition) Validate() error {
	for _, check := range []func() error{
		func() error { return CheckGroup(d.Group) }, d.checkKind, d.checkFilter, d.checkStart, d.checkOrder, d.Retry.check, d.checkBounds, d.checkWebhook,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// CheckGroup returns a [*domain.InvalidError] unless a name may be that of a group.
func CheckGroup(name string) error {
	if _, err := domain.ParseUserID(name); err != nil {
		return invalid("group", fmt.Sprintf("is %.160q", name), "1 to 128 bytes of printable UTF-8 without spaces")
	}
	return nil
}

func (d Definition) checkKind() error {
	switch {
	case d.Kind != KindPull && d.Kind != KindWebhook:
		return invalid("kind", fmt.Sprintf("is %.40q", string(d.Kind)), string(KindPull)+" or "+string(KindWebhook))
	case d.Kind == KindWebhook && d.Webhook == nil:
		return invalid("webhook", "is missing", "an endpoint, for a group of kind "+string(KindWebhook))
	case d.Kind != KindWebhook && d.Webhook != nil:
		return invalid("webhook", "is set", "nothing for a group of kind "+string(d.Kind))
	}
	return nil
}

// Fields of a definition are named as the API names them.
func (d Definition) checkFilter() error {
	if n := len(d.Filter.Types); n > MaxEventTypes {
		return invalid("settings.eventTypes", fmt.Sprintf("has %d types", n), fmt.Sprintf("at most %d", MaxEventTypes))
	}
	for i, typ := range d.Filter.Types {
		if _, err := domain.ParseCustomType(typ); err != nil {
			return invalid(fmt.Sprintf("settings.eventTypes[%d]", i), fmt.Sprintf("is %.80q", typ), "a type of durable events, such as message:new or poll:created")
		}
	}
	if n := len(d.Filter.Chats); n > MaxChats {
		return invalid("settings.chatIds", fmt.Sprintf("has %d chats", n), fmt.Sprintf("at most %d", MaxChats))
	}
	for i, chat := range d.Filter.Chats {
		if _, err := domain.ParseChatID(string(chat)); err != nil {
			return invalid(fmt.Sprintf("settings.chatIds[%d]", i), fmt.Sprintf("is %.160q", string(chat)), "the id of a chat: 1 to 128 bytes of printable UTF-8 without spaces")
		}
	}
	return nil
}

func (d Definition) checkStart() error {
	switch {
	case d.Start.Beginning && !d.Start.At.IsZero():
		return invalid("start", "has both the beginning and a time", "one of them, or none for the next event")
	case !d.Start.At.IsZero() && (d.Start.At.Year() < 1970 || d.Start.At.Year() > 9999):
		return invalid("start.time", "is in the year "+strconv.Itoa(d.Start.At.Year()), "a time from 1970 to 9999")
	}
	return nil
}

func (d Definition) checkOrder() error {
	if d.Park && d.Unordered {
		return invalid("settings.onPoison", "is park in an unordered group", "skip: a chat without an order has nothing that could wait")
	}
	return nil
}

func (r Retry) check() error {
	allowedPause := fmt.Sprintf("%v to %v", MinPause, MaxPause)
	switch {
	case r.Attempts < 0 || r.Attempts > MaxAttempts:
		return invalid("settings.retry.attempts", "is "+strconv.Itoa(r.Attempts), fmt.Sprintf("1 to %d, or 0 for the default", MaxAttempts))
	case r.First != 0 && (r.First < MinPause || r.First > MaxPause):
		return invalid("settings.retry.firstPause", "is "+r.First.String(), allowedPause)
	case r.Max != 0 && (r.Max < MinPause || r.Max > MaxPause):
		return invalid("settings.retry.maxPause", "is "+r.Max.String(), allowedPause)
	case r.First != 0 && r.Max != 0 && r.Max < r.First:
		return invalid("settings.retry.maxPause", "is "+r.Max.String(), "at least the first pause of "+r.First.String())
	}
	return nil
}

func (d Definition) checkBounds() error {
	switch {
	case d.Concurrency < 0 || d.Concurrency > MaxConcurrency:
		return invalid("settings.concurrency", "is "+strconv.Itoa(d.Concurrency), fmt.Sprintf("1 to %d, or 0 for the default", MaxConcurrency))
	case len(d.PauseReason) > MaxPauseReason || !utf8.ValidString(d.PauseReason):
		return invalid("reason", fmt.Sprintf("has %d bytes, or is not UTF-8", len(d.PauseReason)), fmt.Sprintf("at most %d bytes of UTF-8", MaxPauseReason))
	}
	return nil
}

func (d Definition) checkWebhook() error {
	if d.Webhook == nil {
		return nil
	}
	w := d.Webhook
	switch {
	case w.URL == "" || len(w.URL) > MaxURL || !utf8.ValidString(w.URL) || strings.ContainsFunc(w.URL, func(r rune) bool { return r <= ' ' }):
		return invalid("url", fmt.Sprintf("is %.160q", w.URL), fmt.Sprintf("the URL of an endpoint, of at most %d bytes", MaxURL))
	case w.Timeout != 0 && (w.Timeout < MinTimeout || w.Timeout > MaxTimeout):
		return invalid("timeout", "is "+w.Timeout.String(), fmt.Sprintf("%v to %v", MinTimeout, MaxTimeout))
	}
	return nil
}

func invalid(field, problem, allowed string) error {
	return &domain.InvalidError{Field: field, Problem: problem, Allowed: allowed}
}
