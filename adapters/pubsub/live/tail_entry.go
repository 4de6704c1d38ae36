package live

import (
	"math"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// entry is an entry of a stream.
type entry struct {
	id     groups.StreamID
	notice ports.Notice // zero if it is no event of a chat
}

// before returns the highest id below another one, so that a read after it begins with the entry of that id. It returns the zero id for itself.
func before(id groups.StreamID) groups.StreamID {
	switch {
	case id.Number > 0:
		id.Number--
	case id.Milliseconds > 0:
		id.Milliseconds, id.Number = id.Milliseconds-1, math.MaxUint64
	}
	return id
}

// parse returns the entries of a partition's stream.
func (t *Tail) parse(p *partition, messages []goredis.XMessage) []entry {
	entries := make([]entry, 0, len(messages))
	for _, m := range messages {
		id, err := groups.ParseStreamID(m.ID)
		if err != nil {
			t.malformed.Add(1)
			continue
		}
		entries = append(entries, entry{id: id, notice: t.notice(p, m.Values)})
	}
	return entries
}

// notice returns the event of an entry. It returns the zero notice for an entry of another program: one without a chat and a seq, or with the chat of another
// partition.
func (t *Tail) notice(p *partition, fields map[string]any) ports.Notice {
	text := func(name string) string {
		s, _ := fields[name].(string)
		return s
	}
	chat, payload := text(wireformat.FieldChat), text(wireformat.FieldPayload)
	seq, err := strconv.ParseUint(text(wireformat.FieldSeq), 10, 64)
	if err != nil || seq == 0 || chat == "" || len(chat) > domain.MaxIDBytes || t.PartitionOf(domain.ChatID(chat)) != p.index {
		return ports.Notice{}
	}
	if payload == "" {
		t.malformed.Add(1)
		return ports.Notice{}
	}
	return ports.Notice{Chat: domain.ChatID(chat), Seq: domain.Seq(seq), JSON: []byte(payload)}
}
