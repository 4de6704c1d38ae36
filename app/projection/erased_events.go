package projection

import (
	"context"

	"chatcore/domain"
	"chatcore/ports"
)

// EraseFunc removes copies of erased events of a chat that no read of the log reaches, such as entries of streams. Events may be given again.
type EraseFunc func(ctx context.Context, chat domain.ChatID, seqs []domain.Seq) error

// ErasedEvents returns the seqs of the events that were erased of a message, as far as the log has them.
func (m *Models) ErasedEvents(ctx context.Context, chat domain.ChatID, message domain.MessageID) ([]domain.Seq, error) {
	loaded, err := m.log.Load(ctx, chat, ports.LoadRequest{Entity: domain.MessageEntity(message), Whole: true})
	if err != nil {
		return nil, err
	}
	var seqs []domain.Seq
	for _, r := range loaded.Entities[0].Events {
		if domain.IsErased(r.Event) {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs, nil
}

// eraseContent removes the copies of the events of a deleted chat whose content is erased. Entries of a stream go with all entries before them, so that the last of these
// events stands for all.
func (b *Builtins) eraseContent(ctx context.Context, d ports.Delivery, chat domain.ChatID) error {
	last := domain.Seq(0)
	for r, err := range ports.ErasedContent(ctx, b.models.log, chat, d.ID.Seq) {
		if err != nil {
			return err
		}
		last = r.Seq
	}
	if last == 0 {
		return nil
	}
	return b.erases(ctx, chat, []domain.Seq{last})
}

// erase removes the copies of the events of an erased message.
func (b *Builtins) erase(ctx context.Context, e domain.MessageErased) error {
	seqs, err := b.models.ErasedEvents(ctx, e.Chat, e.Message)
	if err != nil || len(seqs) == 0 {
		return err
	}
	return b.erases(ctx, e.Chat, seqs)
}
