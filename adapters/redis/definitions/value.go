package definitions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// value is the JSON of a definition.
type value struct {
	Kind        groups.Kind     `json:"kind"`
	Version     uint64          `json:"version"`
	EventTypes  []string        `json:"event_types,omitempty"`
	Chats       []domain.ChatID `json:"chats,omitempty"`
	Beginning   bool            `json:"beginning,omitempty"`
	StartAt     time.Time       `json:"start_at,omitzero"`
	Unordered   bool            `json:"unordered,omitempty"`
	Park        bool            `json:"park,omitempty"`
	Attempts    int             `json:"attempts,omitempty"`
	FirstPause  duration        `json:"first_pause,omitempty"`
	MaxPause    duration        `json:"max_pause,omitempty"`
	Concurrency int             `json:"concurrency,omitempty"`
	Paused      bool            `json:"paused,omitempty"`
	PauseReason string          `json:"pause_reason,omitempty"`
	Webhook     *webhook        `json:"webhook,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Change      string          `json:"change"` // id of the change that wrote the value: no two changes write the same one
}

type webhook struct {
	URL     string   `json:"url"`
	Timeout duration `json:"timeout,omitempty"`
	Secrets []secret `json:"secrets,omitempty"`
}

type secret struct {
	Key       string    `json:"key"`
	Sealed    []byte    `json:"sealed"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// duration is a duration whose JSON is its text, such as "1m30s".
type duration time.Duration

// MarshalText returns the text.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText parses the text.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// encode returns the JSON of a definition.
func encode(d groups.Definition, change string) (string, error) {
	v := value{
		Kind: d.Kind, Version: d.Version, EventTypes: d.Filter.Types, Chats: d.Filter.Chats, Beginning: d.Start.Beginning, StartAt: d.Start.At.UTC(),
		Unordered: d.Unordered, Park: d.Park, Attempts: d.Retry.Attempts, FirstPause: duration(d.Retry.First), MaxPause: duration(d.Retry.Max),
		Concurrency: d.Concurrency, Paused: d.Paused, PauseReason: d.PauseReason, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt, Change: change,
	}
	if w := d.Webhook; w != nil {
		v.Webhook = &webhook{URL: w.URL, Timeout: duration(w.Timeout)}
		for _, s := range w.Secrets {
			v.Webhook.Secrets = append(v.Webhook.Secrets, secret{Key: s.Key, Sealed: s.Sealed, ExpiresAt: s.ExpiresAt.UTC()})
		}
	}
	text, err := json.Marshal(v)
	return string(text), err
}

// decode returns the definition of a group. It ignores fields that it does not know. A text that is no definition gives one that has the group alone.
func decode(group, text string) groups.Definition {
	var v value
	if json.Unmarshal([]byte(text), &v) != nil {
		return groups.Definition{Group: group}
	}
	d := groups.Definition{
		Group: group, Kind: v.Kind, Version: v.Version, Filter: groups.Filter{Types: v.EventTypes, Chats: v.Chats},
		Start: groups.Start{Beginning: v.Beginning, At: v.StartAt}, Unordered: v.Unordered, Park: v.Park,
		Retry: groups.Retry{Attempts: v.Attempts, First: time.Duration(v.FirstPause), Max: time.Duration(v.MaxPause)}, Concurrency: v.Concurrency,
		Paused: v.Paused, PauseReason: v.PauseReason, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	if w := v.Webhook; w != nil {
		d.Webhook = &groups.Webhook{URL: w.URL, Timeout: time.Duration(w.Timeout)}
		for _, s := range w.Secrets {
			d.Webhook.Secrets = append(d.Webhook.Secrets, groups.SealedSecret(s))
		}
	}
	return d
}

// changeable returns nil if this program knows every field of a stored definition, and [groups.ErrNewerDefinition] with the reason otherwise.
func changeable(text string) error {
	var v value
	strict := json.NewDecoder(bytes.NewReader([]byte(text)))
	strict.DisallowUnknownFields()
	err := strict.Decode(&v)
	if err == nil && v.Kind != groups.KindPull && v.Kind != groups.KindWebhook {
		err = fmt.Errorf("kind %q is not known", v.Kind)
	}
	if _, more := strict.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("more than one value")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", groups.ErrNewerDefinition, err)
	}
	return nil
}
