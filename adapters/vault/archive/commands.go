package archive

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// loadTogether is how many commands are loaded in one call.
const loadTogether = 64

// index returns the index of consecutive events of a chat, of which the first one has a seq: the commands whose last event is among them. The log names the
// fingerprint of a command by its actor and id, which its events have. Commands of events that this program cannot read are left out.
func (a *Archiver) index(ctx context.Context, chat domain.ChatID, first domain.Seq, events []object.Event) ([]byte, error) {
	var wants []ports.LoadRequest
	for _, e := range events {
		if command, ok := a.commandOf(e.JSON); ok && (len(wants) == 0 || wants[len(wants)-1].Entity != command) {
			wants = append(wants, ports.LoadRequest{Entity: command})
		}
	}
	last := first + domain.Seq(len(events)) - 1
	var commands []object.Command
	for some := range slices.Chunk(wants, loadTogether) {
		loaded, err := a.config.Log.Load(ctx, chat, some...)
		if err != nil {
			return nil, err
		}
		for _, found := range loaded.Entities {
			if found.Version >= first && found.Version <= last {
				commands = append(commands, object.Command{Last: found.Version, Fingerprint: found.Command.Fingerprint})
			}
		}
	}
	slices.SortFunc(commands, func(x, y object.Command) int { return cmp.Compare(x.Last, y.Last) })
	return object.EncodeIndex(slices.CompactFunc(commands, func(x, y object.Command) bool { return x.Last == y.Last })), nil
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
