package projection

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

// ChatActivity writes the last messages of chats into the log's [ports.ActivityIndex], once for each chat of a batch. Handling an event again, or late,
// changes nothing.
type ChatActivity struct {
	log   Log
	index ports.ActivityIndex

	// mu guards: resting.
	mu      sync.Mutex
	resting map[domain.ChatID]struct{} // chats whose entry was marked as behind
}

// newChatActivity returns nil if the log has no index.
func newChatActivity(log Log) *ChatActivity {
	index, ok := log.(ports.ActivityIndex)
	if !ok {
		return nil
	}
	return &ChatActivity{log: log, index: index, resting: make(map[domain.ChatID]struct{})}
}

// HandleBatch writes the last message of each chat among its finished deliveries, in one step. If that fails, it resets Done and sets Err. At the
// first event of a chat, with which a rebuild begins, it replaces what the index has by the last message in the log.
func (a *ChatActivity) HandleBatch(ctx context.Context, batches []*ports.ChatBatch) {
	var entries []ports.ActivityEntry
	var first []domain.ChatID
	for _, b := range batches {
		if e := lastActivity(b.Deliveries[:b.Done]); e.Seq > 0 {
			entries = append(entries, e)
			if e.Replace {
				first = append(first, e.Chat)
			}
		}
	}
	if len(entries) == 0 {
		return
	}
	err := a.readFirst(ctx, first, entries)
	if err == nil {
		err = a.index.IndexLastMessages(ctx, entries...)
	}
	if err == nil {
		return
	}
	for _, b := range batches {
		if lastActivity(b.Deliveries[:b.Done]).Seq > 0 {
			b.Done, b.Err = 0, err
		}
	}
}

// MarkBehind marks the index entries of chats whose next deliveries are deferred, and removes the marks of others. It ignores failures: without its mark a
// chat is ordered late by up to the deferral, and a mark that stays costs each list a read of the log until the chat's next message.
func (a *ChatActivity) MarkBehind(ctx context.Context, batches []*ports.ChatBatch) {
	var entries []ports.ActivityEntry
	a.mu.Lock()
	for _, b := range batches {
		if len(b.Deliveries) == 0 {
			continue
		}
		chat, rests := b.Deliveries[0].ID.Chat, b.Later > 0
		if _, marked := a.resting[chat]; rests || marked {
			entries = append(entries, ports.ActivityEntry{Chat: chat, LastMessage: ports.LastMessage{Behind: rests}})
		}
		if delete(a.resting, chat); rests {
			a.resting[chat] = struct{}{}
		}
	}
	a.mu.Unlock()
	if len(entries) > 0 {
		_ = a.index.IndexLastMessages(ctx, entries...)
	}
}

// readFirst sets the entries of some chats to the last message in the log. A chat that the log has lost or cannot read keeps the message of its
// delivery: later deliveries update it.
func (a *ChatActivity) readFirst(ctx context.Context, chats []domain.ChatID, entries []ports.ActivityEntry) error {
	if len(chats) == 0 {
		return nil
	}
	last, err := a.log.LastMessages(ctx, chats...)
	if errors.Is(err, ports.ErrCorrupt) {
		return nil
	}
	if err != nil {
		return err
	}
	at := 0
	for i := range entries {
		if !entries[i].Replace {
			continue
		}
		if last[at].Seq > entries[i].Seq {
			entries[i].LastMessage = last[at]
		}
		at++
	}
	return nil
}

// lastActivity returns the entry that deliveries of one chat lead to. Its seq is 0 if there is neither a message nor the chat's first event among them.
func lastActivity(deliveries []ports.Delivery) (e ports.ActivityEntry) {
	for _, d := range deliveries {
		if d.ID.Seq == 0 || d.ID.Seq > 1 && !domain.InTimeline(d.Event) {
			continue
		}
		e.Chat, e.LastMessage = d.ID.Chat, ports.LastMessage{Seq: d.ID.Seq, At: domain.Instant(d.Event.OccurredAt())}
		e.Replace = e.Replace || d.ID.Seq == 1
	}
	return e
}

// Activity is when a chat had its last message.
type Activity struct {
	Chat domain.ChatID
	ports.LastMessage
}

// CompareActivity orders chats by their last message, the latest first.
func CompareActivity(a, b Activity) int {
	return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Chat, b.Chat))
}

// ByActivity orders chats by their last message. Chats that neither the index nor the log has are left out.
func (m *Models) ByActivity(ctx context.Context, chats []domain.ChatID) ([]Activity, error) {
	last, err := m.LastMessages(ctx, chats)
	if err != nil {
		return nil, err
	}
	order := make([]Activity, 0, len(chats))
	for i, chat := range chats {
		if last[i].Seq > 0 {
			order = append(order, Activity{chat, last[i]})
		}
	}
	slices.SortFunc(order, CompareActivity)
	return order, nil
}

// LastMessages returns the last messages of chats from the log's index, and from the log itself for chats that the index lacks or is behind with. The
// index then has those that it lacked.
func (m *Models) LastMessages(ctx context.Context, chats []domain.ChatID) ([]ports.LastMessage, error) {
	index, ok := m.log.(ports.ActivityIndex)
	if !ok {
		return m.log.LastMessages(ctx, chats...)
	}
	last, err := index.IndexedLastMessages(ctx, chats...)
	if err != nil {
		return nil, err
	}
	var places []int
	var missing []domain.ChatID
	for i, l := range last {
		if l.Seq == 0 || l.Behind {
			places, missing = append(places, i), append(missing, chats[i])
		}
	}
	if len(missing) == 0 {
		return last, nil
	}
	found, err := m.log.LastMessages(ctx, missing...)
	if err != nil {
		return nil, err
	}
	var entries []ports.ActivityEntry
	for i, place := range places {
		lacked := last[place].Seq == 0
		if last[place] = found[i]; lacked && found[i].Seq > 0 {
			entries = append(entries, ports.ActivityEntry{Chat: missing[i], LastMessage: found[i]})
		}
	}
	if len(entries) == 0 {
		return last, nil
	}
	_ = index.IndexLastMessages(ctx, entries...) // if that fails, the next list asks the log again
	return last, nil
}
