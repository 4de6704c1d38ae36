package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of the metadata of a chat, whatever the caps.
const (
	MaxMetadataKeys  = 256
	MaxMetadataKey   = 64       // bytes of a key
	MaxMetadataValue = 16 << 10 // bytes of a value
	MaxMetadataBytes = 48 << 10 // bytes of all keys and values
)

// MetadataCaps bound the metadata of a chat. 0 stands for the highest bound.
type MetadataCaps struct {
	Keys  int // at most MaxMetadataKeys
	Value int // bytes of a value, at most MaxMetadataValue
	Bytes int // of all keys and values, at most MaxMetadataBytes
}

// Metadata is what a team keeps about a chat: keys such as topic, description and avatarUrl, with values of JSON. It is an entity of its own: a change of it disturbs no send.
type Metadata struct {
	Values map[string]JSON // read-only
}

// JSON is a JSON value in its canonical form: without white space, objects ordered by their keys.
type JSON string

// NewJSON returns a JSON value in its canonical form. Duplicate keys, and numbers that float64 does not reach, are refused, because programs read them in different ways.
func NewJSON(field, s string) (JSON, error) {
	problem := ""
	var canonical []byte
	switch {
	case len(s) > MaxMetadataValue:
		problem = fmt.Sprintf("has %d bytes", len(s))
	case !utf8.ValidString(s):
		problem = "is not valid UTF-8"
	case !json.Valid([]byte(s)):
		problem = "is not JSON"
	default:
		decoder := json.NewDecoder(strings.NewReader(s))
		decoder.UseNumber()
		if err := unambiguous(decoder); err != nil {
			problem = err.Error()
			break
		}
		var err error
		if canonical, err = canonicalJSON(s); err != nil {
			problem = err.Error()
		}
	}
	if problem != "" {
		return "", &InvalidError{Field: field, Problem: problem, Allowed: "one JSON value of at most 16 KiB, with each key of an object once and numbers in the range of float64"}
	}
	return JSON(canonical), nil
}

// canonicalJSON returns valid JSON without white space and with ordered keys. Numbers stay as they are written.
func canonicalJSON(s string) ([]byte, error) {
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is more than one value")
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Apply folds an event that moved the metadata.
func (m *Metadata) Apply(_ Seq, e Durable) {
	change, ok := e.(ChatMetadata)
	if !ok {
		return
	}
	m.Values = change.over(m.Values)
}

// over returns values with a change.
func (e ChatMetadata) over(values map[string]JSON) map[string]JSON {
	changed := maps.Clone(values)
	if changed == nil {
		changed = make(map[string]JSON)
	}
	maps.Copy(changed, e.Set)
	for _, key := range e.Unset {
		delete(changed, key)
	}
	return changed
}

// Clone implements [State].
func (m *Metadata) Clone() State {
	clone := *m
	return &clone
}

// MetadataChange sets and removes keys. Other keys stay as they are.
type MetadataChange struct {
	Set   map[string]JSON
	Unset []string
	Caps  MetadataCaps // which the metadata keep
}

// Check returns an [*InvalidError] if the change is not valid.
func (c MetadataChange) Check() error {
	if len(c.Set)+len(c.Unset) == 0 {
		return &InvalidError{Field: "metadata", Problem: "changes nothing", Allowed: "keys to set, keys to remove or both"}
	}
	for _, key := range slices.Concat(slices.Sorted(maps.Keys(c.Set)), c.Unset) {
		if err := CheckMetadataKey("metadata", key); err != nil {
			return err
		}
	}
	for _, key := range c.Unset {
		if _, twice := c.Set[key]; twice {
			return &InvalidError{Field: "metadata." + key, Problem: "is set and removed", Allowed: "one of them"}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Set)) {
		if err := atMost(CapMetadataValue, len(c.Set[key]), c.Caps.Value, MaxMetadataValue, "the value of the key "+key); err != nil {
			return err
		}
	}
	return nil
}

// atMost returns a [*CapError] if n is above a cap, which is the highest one if it is 0.
func atMost(which Cap, n, most, highest int, what string) error {
	if most == 0 {
		most = highest
	}
	if n <= most {
		return nil
	}
	return &CapError{Cap: which, Max: most, Detail: fmt.Sprintf("%s would have %d", what, n)}
}

// UpdateMetadata changes the metadata of the chat. Keys that have the value already, or are not there, are left out; without others there is no event.
func (c Chat) UpdateMetadata(by Member, m Metadata, change MetadataChange, at time.Time) ([]Durable, error) {
	if err := firstOf(c.allow(by, ActionMetadata, "change the metadata of", at), change.Check()); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no metadata until it is unarchived", c.ID)
	}
	return change.event(c.ID, by.User, m, at)
}

// event returns the event of a change.
func (c MetadataChange) event(chat ChatID, by UserID, m Metadata, at time.Time) ([]Durable, error) {
	e := ChatMetadata{Chat: chat, Actor: by, At: at}
	for key, value := range c.Set {
		if present, there := m.Values[key]; !there || present != value {
			if e.Set == nil {
				e.Set = make(map[string]JSON)
			}
			e.Set[key] = value
		}
	}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(c.Unset))) {
		if _, there := m.Values[key]; there {
			e.Unset = append(e.Unset, key)
		}
	}
	if e.Set == nil && e.Unset == nil {
		return nil, nil
	}
	if err := c.Caps.check(e.over(m.Values)); err != nil {
		return nil, err
	}
	return []Durable{e}, nil
}

// check returns a [*CapError] if a chat cannot have all of some values.
func (c MetadataCaps) check(values map[string]JSON) error {
	size := 0
	for key, value := range values {
		size += len(key) + len(value)
	}
	return firstOf(
		atMost(CapMetadataKeys, len(values), c.Keys, MaxMetadataKeys, "the metadata"),
		atMost(CapMetadata, size, c.Bytes, MaxMetadataBytes, "the metadata"),
	)
}

// CheckMetadataKey returns an [*InvalidError] about a field if a key of metadata is not valid.
func CheckMetadataKey(field, key string) error {
	if key == "" || len(key) > MaxMetadataKey || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return &InvalidError{Field: field, Problem: fmt.Sprintf("has the key %.80q", key), Allowed: fmt.Sprintf("keys of 1 to %d of a-z, A-Z, 0-9, \".\", \"_\" and \"-\"", MaxMetadataKey)}
	}
	return nil
}
