package group

import (
	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
)

// observe logs and counts what the state machine reports.
func (m *Member) observe(e *delivery.Event) {
	c, p := m.config.Counters, e.Partition
	switch e.Kind {
	case delivery.DeadLettered:
		if !e.Shared { // the answer to the commit counts the others
			c.DeadLetters.Add(1)
		}
		m.warn("delivery became a dead letter", p,
			"chat", e.Chat, "seq", uint64(e.Seq), "event_id", itemOf(e.Record).uuid(), "attempts", e.Attempts, "parked", e.Parked, "error", e.Cause)
	case delivery.DeadLetterHeld:
		c.Held.Add(1)
		m.warn("delivery held: the group has as many dead letters as its bound allows", p,
			"chat", e.Chat, "seq", uint64(e.Seq), "dead_letters", e.Count, "error", e.Cause)
	case delivery.TransientFailure:
		c.Transient.Add(1)
	case delivery.ChatBlocked:
		m.warn("chat blocked", p, "chat", e.Chat, "seq", uint64(e.Seq), "reason", string(e.Reason), "since", e.Since, "error", e.Cause)
	case delivery.BlockedCount:
		c.blocked(e.Reason).Add(int64(e.Count))
	case delivery.PartitionOffered:
		c.Offered.Add(1)
		m.warn("event of a later version of the program: its chat waits, and the partition is offered to other members", p,
			"chat", e.Chat, "seq", uint64(e.Seq), "cool_down", m.config.CoolDown, "error", e.Cause)
	case delivery.EventsBackfilled:
		c.Backfilled.Add(uint64(e.Count)) //nolint:gosec // a count
	case delivery.PhantomEntries:
		c.PhantomEntries.Add(uint64(e.Count)) //nolint:gosec // a count
	case delivery.UnstreamedEvents:
		c.Unstreamed.Add(uint64(e.Count)) //nolint:gosec // a count
		m.warn("the stream lacks events that the log has, delivering them from the log", p, "chats", e.Chats, "events", e.Count)
	case delivery.WalkEnded:
		m.config.Logger.Debug("every chat of the partition was checked", "partition", p.String(), "group", m.config.Group)
	case delivery.StreamLost:
		m.logStreamLost(p)
	case delivery.HoleFound:
		if c.Holes.add(m.config.Group, p, domain.ChatID(e.Chat), e.Err) {
			m.config.Logger.Error("the log has a hole, trying until it is repaired", "partition", p.String(), "group", m.config.Group, "chat", e.Chat, "error", e.Err)
		}
	case delivery.HoleClosed:
		c.Holes.remove(p, domain.ChatID(e.Chat))
	case delivery.LeaseEnded:
		c.Holes.removeAll(p)
		if loops, begun := p.Shell.(*partitionLoops); begun {
			loops.stop()
		}
	}
}

func (m *Member) warn(what string, p *delivery.Partition, args ...any) {
	m.config.Logger.Warn(what, append([]any{"group", m.config.Group, "stream", p.Stream}, args...)...) //nolint:sloglint // constants of observe
}

func (m *Member) logStreamLost(p *delivery.Partition) {
	m.config.Logger.Warn("the stream has lost undelivered entries, catching up from the log", "partition", p.String(), "group", m.config.Group)
}

// uuid returns the id of the item's event, "" if it cannot be read.
func (i *item) uuid() string {
	if i.record.UUID != "" || !i.record.FromLog() {
		return i.record.UUID
	}
	r, err := i.event()
	if err != nil {
		return ""
	}
	return string(r.ID)
}

// RunningHandler names a handler call that has not returned, or that a middleware has not let begin.
type RunningHandler struct {
	Group string
	Chat  domain.ChatID
	Seq   domain.Seq     // 0 if the event is in no log
	Event domain.EventID // "" if the message has none
}

// Running returns the handlers that run or are about to, including those that an ended member left behind.
func (m *Member) Running() (running []RunningHandler) {
	var items []*item
	m.mu.Lock()
	m.core.Running(func(r *delivery.Record) bool {
		items = append(items, itemOf(r))
		return true
	})
	m.mu.Unlock()
	for _, i := range items {
		h := RunningHandler{Group: m.config.Group, Seq: i.record.Seq, Event: domain.EventID(i.uuid())}
		if i.record.Seq > 0 {
			h.Chat = domain.ChatID(i.record.Chat)
		}
		running = append(running, h)
	}
	return running
}

// WithPayload returns the delivery in flight that has this very payload.
func (m *Member) WithPayload(payload []byte) (found Delivery, some bool) {
	if len(payload) == 0 {
		return Delivery{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.core.Running(func(r *delivery.Record) bool {
		if len(r.Payload) > 0 && &r.Payload[0] == &payload[0] {
			found, some = Delivery{itemOf(r), r.Start()}, true
		}
		return !some
	})
	return found, some
}
