package archive

import (
	"bytes"
	"context"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	commandsTogether = 64 // commands of a chat that are loaded in one script call
	loadsTogether    = 64 // such calls in one round trip
)

// index returns the index of consecutive events of a chat, of which the first one has a seq: the commands whose last event is among them.
func (a *Archiver) index(ctx context.Context, chat domain.ChatID, first domain.Seq, events []object.Event) ([]byte, error) {
	entries := make([]object.Entry, len(events))
	for i, e := range events {
		entries[i] = object.Entry{Chat: chat, Seq: first + domain.Seq(i), Event: e} //nolint:gosec // an index
	}
	if err := a.addFingerprints(ctx, entries); err != nil {
		return nil, err
	}
	var commands []object.Command
	for _, e := range entries {
		if e.Fingerprint != 0 {
			commands = append(commands, object.Command{Last: e.Seq, Fingerprint: e.Fingerprint})
		}
	}
	return object.EncodeIndex(commands), nil
}

// addFingerprints sets the fingerprint of each entry that is the last one of a command. The log names the fingerprint of a command by its actor and id, which its
// events have. Commands of events that this program cannot read are left out. It takes one round trip for each 4,096 commands of few chats, and none if there are no
// commands with an id.
func (a *Archiver) addFingerprints(ctx context.Context, entries []object.Entry) error {
	type place struct {
		chat domain.ChatID
		seq  domain.Seq
	}
	places := make(map[place]int)
	wants := make(map[domain.ChatID][]ports.LoadRequest)
	for i, e := range entries {
		command, ok := a.commandOf(e.JSON)
		if !ok {
			continue
		}
		places[place{e.Chat, e.Seq}] = i
		if of := wants[e.Chat]; len(of) == 0 || of[len(of)-1].Entity != command {
			wants[e.Chat] = append(of, ports.LoadRequest{Entity: command})
		}
	}
	var loads []ports.ChatLoad
	for chat, of := range wants {
		for some := range slices.Chunk(of, commandsTogether) {
			loads = append(loads, ports.ChatLoad{Chat: chat, Wants: some})
		}
	}
	for some := range slices.Chunk(loads, loadsTogether) {
		loaded, err := a.config.Log.LoadChats(ctx, some...)
		if err != nil {
			return err
		}
		for i, chat := range loaded {
			for _, found := range chat.Entities {
				if at, is := places[place{some[i].Chat, found.Version}]; is {
					entries[at].Fingerprint = found.Command.Fingerprint
				}
			}
		}
	}
	return nil
}

// commandOf returns the entity of the command with an id that an event was recorded for. It returns false if there is none.
func (a *Archiver) commandOf(json []byte) (domain.Entity, bool) {
	if !bytes.Contains(json, []byte(`"causationId":"`)) {
		return domain.Entity{}, false
	}
	r, err := a.events.Decode(json)
	if err != nil || r.Meta.CausationID == "" {
		return domain.Entity{}, false
	}
	return domain.CommandEntity(domain.Actor(r.Event), r.Meta.CausationID), true
}
