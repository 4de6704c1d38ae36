package projection

import (
	"context"
	"errors"
	"unicode/utf8"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// ChatPreviews keeps the last message of each chat in the log's [ports.ChatView], with one write for each chat of a batch. Handling an event again, or late,
// changes nothing: the log takes no entry that is not its last message as it stands.
type ChatPreviews struct {
	models *Models
	view   ports.ChatView
}

// newChatPreviews returns nil if the log has no view of its chats.
func newChatPreviews(models *Models) *ChatPreviews {
	view, ok := models.log.(ports.ChatView)
	if !ok {
		return nil
	}
	return &ChatPreviews{models: models, view: view}
}

// HandleBatch writes the last message of each chat among its finished deliveries, in one step. If that fails, it resets Done and sets Err.
//
// The entry of a message that was just sent is made of its event. After other changes of messages, and at the first event of a chat, with which a rebuild begins, the
// last message is read from the log: two round trips for all chats of the batch.
func (p *ChatPreviews) HandleBatch(ctx context.Context, batches []*ports.ChatBatch) {
	var entries []ports.ChatViewEntry
	var changed []domain.ChatID
	var touched []*ports.ChatBatch
	for _, b := range batches {
		last, reload := p.lastOf(b.Deliveries[:b.Done])
		switch {
		case reload:
			changed = append(changed, b.Deliveries[0].ID.Chat)
		case last.Version > 0:
			entries = append(entries, last)
		default:
			continue
		}
		touched = append(touched, b)
	}
	if len(touched) == 0 {
		return
	}
	if err := p.put(ctx, entries, changed); err != nil {
		for _, b := range touched {
			b.Done, b.Err = 0, err
		}
	}
}

func (p *ChatPreviews) put(ctx context.Context, entries []ports.ChatViewEntry, changed []domain.ChatID) error {
	loaded, err := p.models.LastPreviews(ctx, changed...)
	if err != nil && !errors.Is(err, ports.ErrCorrupt) { // lists read the messages of a damaged chat from the log, and report it
		return err
	}
	for _, last := range loaded {
		if last.Version > 0 {
			entries = append(entries, last)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return p.view.PutLastMessages(ctx, entries...)
}

// lastOf returns the last message that deliveries of one chat have sent, and whether it must be read from the log.
func (p *ChatPreviews) lastOf(deliveries []ports.Delivery) (last ports.ChatViewEntry, reload bool) {
	for _, d := range deliveries {
		if d.ID.Seq == 0 {
			continue
		}
		if d.ID.Seq == 1 {
			reload = true
		}
		switch e := d.Event.(type) {
		case domain.MessageNew:
			if e.InTimeline() {
				var m domain.Message
				m.Apply(d.ID.Seq, e)
				last = ports.ChatViewEntry{Chat: m.Chat, Version: d.ID.Seq, LastPreview: p.models.PreviewOf(m)}
			}
		case domain.MessageEdit, domain.MessageDelete, domain.MessageErased, domain.MessagePin:
			reload = true
		}
	}
	return last, reload
}

// LastPreviews returns the last messages of chats in their present state, from the log, in the order of the chats: of version 0 for a chat without one, or with
// one that this program cannot read.
func (m *Models) LastPreviews(ctx context.Context, chats ...domain.ChatID) ([]ports.ChatViewEntry, error) {
	found := make([]ports.ChatViewEntry, len(chats))
	if len(chats) == 0 {
		return nil, nil
	}
	sends, err := m.log.LastRecords(ctx, chats...)
	if err != nil {
		return nil, err
	}
	var loads []entity.ChatEntities
	var places []int
	for i, r := range sends {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			message := []entity.Versioned{{Entity: domain.MessageEntity(sent.Message)}}
			m.entities.Cached(chats[i], message)
			m.entities.Seed(chats[i], message, sends[i:i+1])
			loads, places = append(loads, entity.ChatEntities{Chat: chats[i], Entities: message}), append(places, i)
		}
	}
	if err := m.entities.FillChats(ctx, m.log, loads); err != nil {
		return nil, err
	}
	for i, l := range loads {
		if state, _ := l.Entities[0].State.(*domain.Message); len(l.Unread) == 0 {
			found[places[i]] = ports.ChatViewEntry{Chat: l.Chat, Version: l.Entities[0].Version, LastPreview: m.PreviewOf(*state)}
		}
	}
	return found, nil
}

// PreviewOf returns a message as a list shows it.
func (m *Models) PreviewOf(message domain.Message) ports.LastPreview {
	p := ports.LastPreview{
		Message: message.ID, Seq: message.Seq, Sender: message.Sender, At: domain.Instant(message.SentAt), Deleted: message.Deleted(),
	}
	if !p.Deleted {
		p.Preview, p.Attachments = m.previewText(string(message.Content)), len(message.Attachments)
	}
	return p
}

// previewText returns the longest beginning of a text that a preview has, with no rune cut.
func (m *Models) previewText(text string) string {
	most := min(m.views.Preview, ports.MaxPreview)
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
