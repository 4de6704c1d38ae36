package app

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// MetadataView is the metadata of a chat.
type MetadataView struct {
	Version domain.Seq // for [domain.UpdateMetadata].IfVersion; 0 if nothing was ever set
	Values  map[string]domain.JSON
}

// UpdateMetadata changes keys of a chat's metadata. Done.Seq is the version from then on. Two changes of different keys at the same moment both hold; with IfVersion, a
// metadata that has another version is a [*ports.ConflictError], and nothing was recorded.
func (c *Chats) UpdateMetadata(ctx context.Context, cmd domain.UpdateMetadata) (Done, error) {
	change, err := c.metadataChange(cmd.Set, cmd.Unset)
	if err == nil {
		err = change.Check()
	}
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "update-metadata", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor), domain.MetadataEntity()),
		decide: func(s *state) ([]domain.Durable, error) {
			events, err := s.theChat().UpdateMetadata(s.member(cmd.Actor), *as[*domain.Metadata](s, domain.MetadataEntity()), change, c.now())
			if version := s.entity(domain.MetadataEntity()).Version; err == nil && cmd.IfVersion != 0 && version != cmd.IfVersion {
				condition := domain.Condition{Entity: domain.MetadataEntity(), Version: cmd.IfVersion}
				return nil, &ports.ConflictError{Chat: cmd.Chat, Condition: condition, Version: version}
			}
			return events, err
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitMetadata),
		args:   arguments{valuesText(change.Set), strings.Join(change.Unset, " "), versionText(cmd.IfVersion)},
	})
}

// metadataChange returns a change with values in their canonical form, under the caps.
func (c *Chats) metadataChange(set map[string]string, unset []string) (domain.MetadataChange, error) {
	change := domain.MetadataChange{Unset: slices.Compact(slices.Sorted(slices.Values(unset))), Caps: c.policy.Caps.metadata()}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		value, err := domain.NewJSON("metadata."+key, set[key])
		if err != nil {
			return change, err
		}
		if change.Set == nil {
			change.Set = make(map[string]domain.JSON)
		}
		change.Set[key] = value
	}
	return change, nil
}

// valuesText is the text of values for a fingerprint.
func valuesText(values map[string]domain.JSON) string {
	if len(values) == 0 {
		return ""
	}
	text, _ := json.Marshal(values) // strings, ordered by key
	return string(text)
}

func versionText(version domain.Seq) string {
	if version == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(version), 10)
}

// Metadata returns the metadata of a chat, in one round trip. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Metadata(ctx context.Context, chat domain.ChatID) (MetadataView, error) {
	if err := checkChat(chat); err != nil {
		return MetadataView{}, err
	}
	entities := []entity.Versioned{{Entity: domain.MetadataEntity()}}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return MetadataView{}, err
	}
	m, _ := entities[0].State.(*domain.Metadata)
	return MetadataView{Version: entities[0].Version, Values: maps.Clone(m.Values)}, nil
}
