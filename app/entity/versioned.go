package entity

import (
	"chatcore/domain"
	"chatcore/ports"
)

// Versioned is an entity at a version, as far as it is known: what a load is asked for and, after it, the result.
type Versioned struct {
	Entity  domain.Entity
	Latest  bool // only its last event matters
	Expect  bool // expected not to exist: version 0 is worth a try
	Exists  bool // only whether it exists matters; expected to
	Version domain.Seq
	State   domain.State   // nil for an entity that is only a version
	Records []ports.Record // all up to the version, if the last load has returned them; nil otherwise
	Command ports.CommandRecord
	Epoch   uint64        // of the cache when the entity was filled
	quiet   bool          // loading it requests no snapshot
	sent    *ports.Record // that sent the message, if the cache has it; another event may have moved the message since
}

// Known returns all events up to the version, oldest first. It returns nil if the last load did not return them and the cache does not have them: it has that of a message
// that no event has changed since it was sent.
func (s Versioned) Known() []ports.Record {
	if s.Records == nil && s.sent != nil && s.sent.Seq == s.Version {
		return []ports.Record{*s.sent}
	}
	return s.Records
}

// blank is the entity as it was before anything was known.
func (s Versioned) blank() Versioned {
	return Versioned{Entity: s.Entity, Latest: s.Latest, quiet: s.quiet}
}

// Unreadable is an event that only a newer program can read.
type Unreadable struct {
	ports.NewerVersionError

	Newer bool // its type is known, and its version is newer
}

// UnreadableOf returns an event that this program cannot read.
func UnreadableOf(seq domain.Seq, e domain.Unknown) *Unreadable {
	return &Unreadable{ports.NewerVersionError{Chat: e.Chat, Seq: seq, Type: e.Type, Version: e.Version}, e.Newer}
}

// FirstUnreadable returns the first event in a version that is not known, or else the first of an unknown type, or nil.
func FirstUnreadable(records []ports.Record) (found *Unreadable) {
	for _, r := range records {
		if e, ok := r.Event.(domain.Unknown); ok && (found == nil || e.Newer && !found.Newer) {
			found = UnreadableOf(r.Seq, e)
		}
	}
	return found
}

// ChatEntities are the entities of one chat that a load of many chats fills.
type ChatEntities struct {
	Chat     domain.ChatID
	Entities []Versioned
	Head     domain.Seq          // the chat's last seq, 0 if there is no such chat
	Unread   map[int]*Unreadable // as fill returns it
}

// CheckVersions returns an error if an event in a newer version moved an entity of the entities from a place on.
func (c ChatEntities) CheckVersions(from int) error {
	for place, u := range c.Unread {
		if place >= from && u.Newer {
			return &u.NewerVersionError
		}
	}
	return nil
}
