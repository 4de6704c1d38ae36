package delivery

import (
	"slices"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// orderedRetry is a dead letter that its chat delivers again in order.
type orderedRetry struct {
	id string
	groups.RetryMark
}

// retries takes the retry marks of a partition. It stores those that are retried in order, and returns the ids of those that are to be delivered out of
// order.
func (p *Partition) retries(marks map[string]groups.RetryMark) (outOfOrder []string) {
	for id, mark := range marks {
		switch mark.State {
		case groups.RetryInOrder:
			if p.ordered == nil {
				p.ordered = make(map[string]orderedRetry)
			}
			p.ordered[mark.Chat] = orderedRetry{id, mark}
		case groups.RetryOutOfOrder:
			outOfOrder = append(outOfOrder, id)
		case groups.RetryFailed:
		}
	}
	slices.Sort(outOfOrder)
	return outOfOrder
}

// Reload is what the caller reads before it calls [Partition.Updated]: the checkpoints of parked chats that were resumed, and dead letters that are
// delivered again.
type Reload struct {
	Resumed []string
	Letters []string
}

// Reload takes the changes of others, and returns what else is to be read.
func (p *Partition) Reload(changes groups.Changes) (r Reload) {
	for c := p.first; c != nil; c = c.next {
		if c.mode == parked && changes.Left[c.id] != groups.Parked && c.savedMark == groups.Parked {
			r.Resumed = append(r.Resumed, c.id)
		}
	}
	for _, id := range p.retries(changes.Retries) {
		if _, known := p.retrying[id]; !known {
			r.Letters = append(r.Letters, id)
		}
	}
	return r
}

// Retried is a dead letter that is delivered again out of order.
type Retried struct {
	Record     *Record // its Entry is the letter's, without an ID
	Letter     groups.StoredLetter
	Checkpoint domain.Seq // of its chat
}

// Updated applies the changes that others made: dead letters to be redelivered, chats that are no longer parked, and a walk over all chats. resumed has
// the checkpoints of the resumed chats.
func (p *Partition) Updated(changes groups.Changes, r Reload, resumed []domain.Seq, letters []Retried, revision string) {
	if p.over {
		return
	}
	var behind []string
	for chat, mark := range p.left {
		if mark == groups.Parked && changes.Left[chat] == groups.Behind {
			behind = append(behind, chat)
		}
	}
	slices.Sort(behind)
	for _, chat := range behind {
		p.left[chat] = groups.Behind
		p.names = append(p.names, chat)
	}
	for i, id := range r.Resumed {
		if c := p.chats[id]; c != nil {
			p.resume(c, resumed[i])
		}
	}
	for _, d := range letters {
		p.redeliver(d, changes.Retries[d.Letter.ID])
	}
	if changes.Walk && !p.walking {
		p.startWalk()
	}
	p.revision = revision
	p.wake(false, true)
}

// redeliver queues a retried dead letter before the records of its queue that no handler has started. The chat has passed the event, so the delivery is
// out of order.
func (p *Partition) redeliver(d Retried, mark groups.RetryMark) {
	r := d.Record
	p.retrying[d.Letter.ID] = struct{}{}
	r.letter, r.redelivered, r.earlier = d.Letter.ID, true, max(d.Letter.Attempts, mark.Attempts)
	c := p.others
	if d.Letter.Chat != "" {
		c = p.open(d.Letter.Chat, d.Checkpoint)
	}
	q := c.queueOf(r)
	q.linkBehindHead(r)
	p.show(q)
}
