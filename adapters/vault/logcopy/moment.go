package logcopy

import (
	"context"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
)

// checkMoment returns an error if the vault does not say what the log had at the moment, because journals were deleted: a chat has an event after its head, and no
// journal says when it was appended. It reads the partitions only if journals may be gone.
func (l *Copy) checkMoment(ctx context.Context) error {
	if !l.journals.gap {
		return nil
	}
	for number := range l.manifest.Partitions {
		p, err := l.Partition(ctx, number)
		if err != nil {
			return err
		}
		ends, err := p.ends(ctx)
		if err != nil {
			return err
		}
		for chat, end := range ends {
			head := p.heads[chat]
			if _, known := p.entries[chat][head+1]; end > head && !known {
				return impossible(l.at, l.journals.later, ", a time whose journals have been deleted")
			}
		}
	}
	return nil
}

// ends returns the last seqs of chats in sealed segments, and in tails after the moment.
func (p *Partition) ends(ctx context.Context) (map[domain.ChatID]domain.Seq, error) {
	f, err := p.copy.forksOf(ctx, p.number)
	if err != nil {
		return nil, err
	}
	ends := make(map[domain.ChatID]domain.Seq)
	for chat, generations := range p.sealed {
		ends[chat] = domain.Seq(len(generations)) * object.SegmentEvents
	}
	for _, t := range p.copy.later[p.number] {
		for n := range t.parts {
			part, err := p.copy.tailPart(ctx, t, n)
			if err != nil {
				return nil, err
			}
			for _, c := range part.Chats {
				ends[c.Chat] = max(ends[c.Chat], min(c.Head, f.keeps(c.Chat, part.History)))
			}
		}
	}
	return ends, nil
}
