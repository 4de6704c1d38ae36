package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// vaultState is what a reader of a vault finds, by docs/vault.md alone.
type vaultState struct {
	codec *object.Codec
	vault ports.Vault

	forks     []*object.ForkObject
	tails     []*object.TailPart
	journals  []*object.JournalObject
	segments  map[domain.ChatID][]*object.SealedSegment
	manifests []*object.ManifestObject

	chats  map[domain.ChatID]map[domain.Seq]found
	faults []string
}

// found is an event, with the history in which it was found; "" in a segment.
type found struct {
	event   object.Event
	history string
}

// readVault reads all objects of a log.
func readVault(ctx context.Context, vault ports.Vault, log string) (*vaultState, error) {
	codec, err := object.NewCodec()
	if err != nil {
		return nil, err
	}
	s := &vaultState{codec: codec, vault: vault, segments: make(map[domain.ChatID][]*object.SealedSegment), chats: make(map[domain.ChatID]map[domain.Seq]found)}
	before := make(map[uint64][]byte) // journals by epoch
	names := make(map[uint64]object.Name)
	for o, err := range vault.List(ctx, log+"/", "") {
		if err != nil {
			return nil, err
		}
		name, err := object.ParseName(o.Name)
		if err != nil {
			return nil, err
		}
		data, err := vault.Get(ctx, o.Name, 0, ports.WholeObject)
		if err != nil {
			return nil, err
		}
		switch name.Kind {
		case object.KindManifest:
			m, err := object.DecodeManifest(name, data)
			if err != nil {
				return nil, err
			}
			s.manifests = append(s.manifests, m)
		case object.KindFork:
			f, err := codec.DecodeFork(name, data)
			if err != nil {
				return nil, err
			}
			s.forks = append(s.forks, f)
		case object.KindTail:
			t, err := codec.DecodeTail(name, data)
			if err != nil {
				return nil, err
			}
			s.tails = append(s.tails, t)
		case object.KindJournal:
			j, err := codec.DecodeJournal(name, data)
			if err != nil {
				return nil, err
			}
			if last, some := names[name.Epoch]; some {
				if err := j.CheckLink(last, before[name.Epoch]); err != nil {
					return nil, err
				}
			}
			before[name.Epoch], names[name.Epoch] = data, name
			s.journals = append(s.journals, j)
		case object.KindSegment:
			g, err := codec.DecodeSegment(name, data)
			if err != nil {
				return nil, err
			}
			s.segments[name.Chat] = append(s.segments[name.Chat], g)
		default:
			return nil, fmt.Errorf("%s was not expected", name)
		}
	}
	s.combine()
	return s, nil
}

// combine builds the state of the log at its end.
func (s *vaultState) combine() {
	for chat, segments := range s.segments {
		root := object.Root{}
		for n, g := range segments {
			if g.Name.Number != uint64(n) || g.Previous != root {
				s.faults = append(s.faults, fmt.Sprintf("%s does not follow the segment before", g.Name))
			}
			root = g.Root()
			for i, e := range g.Events {
				s.add("", chat, g.Name.FirstSeq()+domain.Seq(i), e)
			}
		}
	}
	last := make(map[domain.ChatID]*object.TailChat)
	histories := make(map[domain.ChatID]string)
	for _, t := range s.completeTails() {
		for i := range t.Chats {
			last[t.Chats[i].Chat], histories[t.Chats[i].Chat] = &t.Chats[i], t.History
		}
	}
	for chat, t := range last {
		for i, e := range t.Events {
			s.add(histories[chat], chat, t.Head-domain.Seq(len(t.Events)-1-i), e)
		}
	}
	for _, j := range s.journals {
		for _, b := range j.Blocks {
			ineffective := slices.ContainsFunc(s.forks, func(f *object.ForkObject) bool { return j.Flushed > f.At && slices.Contains(f.Superseded, b.History) })
			for _, e := range b.Entries {
				if !ineffective {
					s.add(b.History, e.Chat, e.Seq, e.Event)
				}
			}
		}
	}
}

// completeTails returns the parts of the last complete full tail, and of the complete ones after it.
func (s *vaultState) completeTails() (parts []*object.TailPart) {
	complete := make(map[uint64]*object.TailPart)
	for _, t := range s.tails {
		if t.Last {
			complete[t.Name.Time] = t
		}
	}
	for _, t := range s.tails {
		end := complete[t.Name.Time]
		if end == nil {
			continue
		}
		if end.Full && t.Name.Number == 0 {
			parts = nil
		}
		parts = append(parts, t)
	}
	return parts
}

// add adds an event unless a fork has removed it. Of two events at one place that of the newer history holds.
func (s *vaultState) add(history string, chat domain.ChatID, seq domain.Seq, e object.Event) {
	for _, f := range s.forks {
		i := slices.IndexFunc(f.Chats, func(c object.ForkedChat) bool { return c.Chat == chat })
		if i >= 0 && seq > f.Chats[i].Head && history != "" && slices.Contains(f.Superseded, history) {
			return
		}
	}
	if s.chats[chat] == nil {
		s.chats[chat] = make(map[domain.Seq]found)
	}
	old, some := s.chats[chat][seq]
	switch {
	case !some || old.history < history:
		s.chats[chat][seq] = found{e, history}
	case (old.history == history || history == "") && !sameEvent(old.event, e):
		s.faults = append(s.faults, fmt.Sprintf("seq %d of %s is %s and %s in history %q", seq, chat, old.event.JSON, e.JSON, history))
	}
	if some && old.history == "" && !sameEvent(old.event, e) {
		s.faults = append(s.faults, fmt.Sprintf("seq %d of %s is %s in a segment and %s in history %q", seq, chat, old.event.JSON, e.JSON, history))
	}
}

func sameEvent(a, b object.Event) bool {
	return a.ID == b.ID && a.Ordinal == b.Ordinal && bytes.Equal(a.JSON, b.JSON)
}

// events returns the JSON of a chat's events, up to the first one that is missing.
func (s *vaultState) events(chat domain.ChatID) (events []string) {
	for seq := domain.Seq(1); ; seq++ {
		e, some := s.chats[chat][seq]
		if !some {
			return events
		}
		events = append(events, string(e.event.JSON))
	}
}

// lost returns the ids of all events in forks.
func (s *vaultState) lost() map[domain.EventID]bool {
	lost := make(map[domain.EventID]bool)
	for _, f := range s.forks {
		for _, chat := range f.Chats {
			for _, e := range chat.Lost {
				lost[e.ID] = true
			}
		}
	}
	return lost
}
