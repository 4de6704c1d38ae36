package wireformat

import (
	"bytes"
	"encoding/json"
	"fmt"

	"chatcore/domain"
)

// The versions of the shapes below. A snapshot of another version cannot be read; the state is folded from the log then.
const (
	stateVersion = 1
	// reactionsVersion is that of reactions whose emoji are in their normal form. Version 1 had them as they were recorded, and folded two spellings of one
	// emoji as two reactions.
	reactionsVersion = 2
)

func stateVersionOf(k domain.EntityKind) int {
	if k == domain.KindReactions {
		return reactionsVersion
	}
	return stateVersion
}

// state is a snapshot as it is written: one of its fields is there.
type state struct {
	V         int              `json:"v"`
	Chat      *domain.Chat     `json:"chat,omitempty"`
	Member    *domain.Member   `json:"member,omitempty"`
	Message   *domain.Message  `json:"message,omitempty"`
	Reactions *reactions       `json:"reactions,omitempty"`
	Metadata  *domain.Metadata `json:"metadata,omitempty"`

	Thread     *domain.Thread         `json:"thread,omitempty"`
	ThreadMark *domain.ThreadPosition `json:"threadMark,omitempty"`
	Settings   *domain.Settings       `json:"settings,omitempty"`
	Pins       *domain.Pins           `json:"pins,omitempty"`
}

// reactions are grouped by emoji: users and the seqs of their events.
type reactions map[domain.Emoji]map[domain.UserID]domain.Seq

// deltas returns the difference of each seq of an ascending list to the one before: they are written with fewer digits.
func deltas(seqs []domain.Seq) []domain.Seq {
	differences, before := make([]domain.Seq, len(seqs)), domain.Seq(0)
	for i, seq := range seqs {
		differences[i], before = seq-before, seq
	}
	return differences
}

// sums is the inverse of deltas.
func sums(differences []domain.Seq) []domain.Seq {
	seqs, sum := make([]domain.Seq, len(differences)), domain.Seq(0)
	for i, difference := range differences {
		sum += difference
		seqs[i] = sum
	}
	return seqs
}

// EncodeState writes the state of an entity for a snapshot.
func EncodeState(s domain.State) ([]byte, error) {
	out := state{V: stateVersion}
	switch s := s.(type) {
	case *domain.Chat:
		out.Chat = s
	case *domain.Member:
		out.Member = s
	case *domain.Message:
		out.Message = s
	case *domain.Metadata:
		out.Metadata = s
	case *domain.Thread:
		thread := *s
		thread.Window = deltas(s.Window)
		out.Thread = &thread
	case *domain.ThreadPosition:
		out.ThreadMark = s
	case *domain.Settings:
		out.Settings = s
	case *domain.Pins:
		out.Pins = s
	case *domain.Reactions:
		all := make(reactions)
		for r, seq := range s.All() {
			if all[r.Emoji] == nil {
				all[r.Emoji] = make(map[domain.UserID]domain.Seq)
			}
			all[r.Emoji][r.User] = seq
		}
		out.V, out.Reactions = reactionsVersion, &all
	default:
		return nil, &Error{Reason: ErrMalformed, Problem: fmt.Sprintf("a snapshot of %T", s), Allowed: "chat, member, message, reactions, metadata, settings, pins, thread, threadMark"}
	}
	return json.Marshal(out)
}

// OutdatedState reports whether a snapshot of an entity of kind k has a version that older programs wrote and this one does not read.
func OutdatedState(k domain.EntityKind, raw []byte) bool {
	var in struct {
		V int `json:"v"`
	}
	return json.Unmarshal(raw, &in) == nil && in.V >= 1 && in.V < stateVersionOf(k)
}

// DecodeState reads the state of an entity from a snapshot. It must be of that entity.
func DecodeState(chat domain.ChatID, e domain.Entity, raw []byte) (domain.State, error) {
	var in state
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	wrong := func(problem string, cause error) error {
		return &Error{Reason: ErrMalformed, Field: "snapshot", Problem: problem, Allowed: "the state of " + e.String(), Cause: cause}
	}
	if err := decoder.Decode(&in); err != nil {
		return nil, wrong("is not readable", err)
	}
	if in.V != stateVersionOf(e.Kind) {
		return nil, wrong(fmt.Sprintf("is of version %d", in.V), nil)
	}
	switch {
	case e.Kind == domain.KindChat && in.Chat != nil && in.Chat.ID == chat:
		return in.Chat, nil
	case e.Kind == domain.KindMember && in.Member != nil && string(in.Member.User) == e.ID:
		return in.Member, nil
	case e.Kind == domain.KindMessage && in.Message != nil && in.Message.Chat == chat && string(in.Message.ID) == e.ID:
		return in.Message, nil
	case e.Kind == domain.KindMetadata && in.Metadata != nil:
		return in.Metadata, nil
	case e.Kind == domain.KindThread && in.Thread != nil:
		in.Thread.Window = sums(in.Thread.Window)
		return in.Thread, nil
	case e.Kind == domain.KindThreadMark && in.ThreadMark != nil:
		return in.ThreadMark, nil
	case e.Kind == domain.KindSettings && in.Settings != nil:
		return in.Settings, nil
	case e.Kind == domain.KindPins && in.Pins != nil:
		return in.Pins, nil
	case e.Kind == domain.KindReactions && in.Reactions != nil:
		set := make(map[domain.Reaction]domain.Seq)
		for emoji, users := range *in.Reactions {
			for user, seq := range users {
				set[domain.Reaction{User: user, Emoji: emoji}] = seq
			}
		}
		return domain.ReactionsOf(set), nil
	}
	return nil, wrong("is of something else", nil)
}
