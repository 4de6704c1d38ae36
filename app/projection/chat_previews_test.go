package projection_test

import (
	"context"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/apptest"
)

// viewedLog is a log that counts the entries that are put into its view.
type viewedLog struct {
	*memory.Log
	puts, entries int
}

func (l *viewedLog) PutLastMessages(ctx context.Context, entries ...ports.ChatViewEntry) error {
	l.puts++
	l.entries += len(entries)
	return l.Log.PutLastMessages(ctx, entries...)
}

// TestChatPreviews handles batches of events: one entry for each chat whose messages have changed, and none otherwise. Late batches change nothing.
func TestChatPreviews(t *testing.T) {
	log := &viewedLog{Log: memory.New(wireformat.New(), apptest.Clock{}, nil)}
	models := projection.NewModels(log, entity.NewLoader(log, nil, 0), projection.Views{Log: log.ID(), Chats: memory.NewUserView(), Preview: 5})
	builtins := projection.NewBuiltins(models, nil, false)
	at := domain.Instant(time.Now())
	var batches []*ports.ChatBatch
	seq := domain.Seq(0)
	batch := func(events ...domain.Durable) *ports.ChatBatch {
		t.Helper()
		b := &ports.ChatBatch{}
		for _, e := range events {
			seq++
			id := domain.EventID(rune('a' + seq))
			if _, err := log.Append(t.Context(), ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: id, Event: e, Moves: domain.Moves(e)}}}); err != nil {
				t.Fatal(err)
			}
			b.Deliveries = append(b.Deliveries, ports.Delivery{ID: ports.DeliveryID{Log: log.ID(), Chat: "c", Seq: seq, Event: id}, Event: e})
		}
		batches = append(batches, b)
		return b
	}
	sent := func(id domain.MessageID, content domain.Content) domain.Durable {
		return domain.MessageNew{Chat: "c", Message: id, Sender: "ann", Content: content, At: at}
	}
	edit := func(id domain.MessageID, sent domain.Seq, content domain.Content) domain.Durable {
		return domain.MessageEdit{Chat: "c", Message: id, Sent: sent, Editor: "ann", Content: content, Revision: 1, At: at}
	}
	entry := func(version, seq domain.Seq, id domain.MessageID, text string) ports.ChatViewEntry {
		return ports.ChatViewEntry{Chat: "c", Version: version, LastPreview: ports.LastPreview{Message: id, Seq: seq, Sender: "ann", At: at, Preview: text}}
	}
	tombstone := entry(11, 5, "m2", "")
	tombstone.Deleted = true
	type is = []domain.Durable
	for _, step := range []struct {
		what    string
		events  []domain.Durable
		entries int
		want    ports.ChatViewEntry
	}{
		{"a chat without messages", is{domain.ChatUpdate{Chat: "c", Actor: "ann", Change: domain.Created, At: at}}, 0, ports.ChatViewEntry{Chat: "c"}},
		{"two messages and an edit", is{sent("m1", "one"), edit("m1", 2, "once"), domain.MessageReaction{Chat: "c", Message: "m1", User: "ann", Emoji: "👍", Action: domain.ReactionAdd, At: at}, sent("m2", "häuser")}, 1, entry(5, 5, "m2", "häus")},
		{"a reply in a thread", is{domain.MessageNew{Chat: "c", Message: "r", Sender: "ann", Content: "reply", Thread: "m1", At: at}}, 0, entry(5, 5, "m2", "häus")},
		{"an edit of the earlier message", is{edit("m1", 2, "late")}, 1, entry(5, 5, "m2", "häus")},
		{"an edit of the last message", is{edit("m2", 5, "next")}, 1, entry(8, 5, "m2", "next")},
		{"a receipt", is{domain.ReadReceipt{Chat: "c", User: "ann", Message: "m2", ReadSeq: 5, At: at}}, 0, entry(8, 5, "m2", "next")},
		{"a pin", is{domain.MessagePin{Chat: "c", Message: "m2", Sent: 5, Actor: "ann", Pinned: true, At: at}}, 1, entry(10, 5, "m2", "next")},
		{"a deletion", is{domain.MessageDelete{Chat: "c", Message: "m2", Sent: 5, By: "ann", At: at}}, 1, tombstone},
	} {
		b := batch(step.events...)
		for _, handled := range batches { // the late ones again
			log.puts, log.entries = 0, 0
			if builtins.HandleBatch(t.Context(), []*ports.ChatBatch{handled}); handled.Err != nil {
				t.Fatal(handled.Err)
			}
			if handled == b && (log.entries != step.entries || log.puts != step.entries) {
				t.Errorf("%s: %d entries in %d writes, want %d", step.what, log.entries, log.puts, step.entries)
			}
		}
		kept, err := log.ListedLastMessages(t.Context(), "c")
		if err != nil || kept[0] != step.want {
			t.Errorf("%s: %+v, error %v, want %+v", step.what, kept, err, step.want)
		}
	}
}
