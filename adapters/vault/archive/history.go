package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// doubtFor is how long after a change of the history events that were read are compared with the log. By then a member has noticed that entries that it has
// read are gone, and has discarded them.
const doubtFor = time.Minute

// follow compares the vault with the log for those of the partitions whose history is another one than the vault was compared with.
func (a *Archiver) follow(ctx context.Context, history string, partitions ...*partition) error {
	if len(a.behind(history, partitions)) == 0 {
		return nil
	}
	a.following.Lock()
	defer a.following.Unlock()
	var changed []*comparison
	for _, p := range a.behind(history, partitions) {
		noted, err := a.config.Log.ArchivedHistory(ctx, p.number)
		if err != nil {
			return err
		}
		if noted == history {
			a.followed(p, history)
			continue
		}
		changed = append(changed, &comparison{archiver: a, partition: p, history: history, noted: noted}) // the note of a failed-over log may be lost as well
	}
	return a.compareAll(ctx, history, changed)
}

// behind returns those of the partitions that were not compared with a history.
func (a *Archiver) behind(history string, partitions []*partition) (behind []*partition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range partitions {
		if p.history != history {
			behind = append(behind, p)
		}
	}
	return behind
}

// followed remembers that a partition was compared with a history. Events in memory may have been read before it began.
func (a *Archiver) followed(p *partition, history string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := cmp.Or(p.history, a.config.Began); before != history {
		p.doubtful, p.before = time.Now().Add(doubtFor), before
	}
	p.known = p.known && p.history == history // the log may have lost notes of sealed segments
	p.history = history
}

func (a *Archiver) noteHistory(ctx context.Context, p *partition, history string) error {
	return moved(a.config.Log.NoteHistory(ctx, p.number, history))
}

// moved returns an error that passes for a conflict about the history.
func moved(err error) error {
	if errors.Is(err, ports.ErrConflict) {
		return fmt.Errorf("%w: %w", errHistoryMoved, err)
	}
	return err
}

// verify compares batches of partitions that have changed their history with the log. It returns the batches whose events the log has. The others were read before
// the change and are lost: it stores them in forks, and finishes them.
func (a *Archiver) verify(ctx context.Context, history string, batches []*ports.ChatBatch) (rest []*ports.ChatBatch, err error) {
	lost := make(map[*partition][]object.ForkedChat)
	var finished []*ports.ChatBatch
	for _, b := range batches {
		p := a.partitions[b.Partition]
		if !a.doubts(p) {
			rest = append(rest, b)
			continue
		}
		chat, err := a.compareBatch(ctx, p, b)
		if err != nil {
			return nil, err
		}
		if len(chat.Lost) == 0 {
			rest = append(rest, b)
			continue
		}
		lost[p], finished = append(lost[p], chat), append(finished, b)
	}
	for p, chats := range lost {
		c := &comparison{archiver: a, partition: p, history: history, noted: p.before}
		if err := c.readForks(ctx); err != nil {
			return nil, err
		}
		if err := c.putFork(ctx, chats); err != nil {
			return nil, err
		}
		if err := c.journalAgain(ctx, chats); err != nil {
			return nil, err
		}
	}
	for _, b := range finished {
		b.Done = len(b.Deliveries)
	}
	return rest, nil
}

func (a *Archiver) doubts(p *partition) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(p.doubtful)
}

// compareBatch returns the first events of a batch that the log does not have, as those that its chat has lost.
func (a *Archiver) compareBatch(ctx context.Context, p *partition, b *ports.ChatBatch) (lost object.ForkedChat, err error) {
	first := b.Deliveries[0].ID
	lost.Chat = first.Chat
	found, err := a.read(ctx, p, stretch{first.Chat, first.Seq, first.Seq + domain.Seq(len(b.Deliveries)) - 1})
	if err != nil {
		return lost, err
	}
	for i, d := range b.Deliveries {
		switch {
		case i >= len(found[0]) || found[0][i].ID != d.ID.Event:
			if len(lost.Lost) == 0 {
				lost.Head = d.ID.Seq - 1
			}
			lost.Lost = append(lost.Lost, object.Event{ID: d.ID.Event, Ordinal: d.Ordinal, JSON: d.JSON})
		case len(lost.Lost) > 0: // the log has these since
			return lost, nil
		}
	}
	return lost, nil
}
