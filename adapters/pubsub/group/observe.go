package group

import (
	"fmt"

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
		if loops, begun := p.Data.(*partitionLoops); begun {
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
	r, err := i.member.config.Codec.Decode(i.record.Payload)
	if err != nil {
		return ""
	}
	return string(r.ID)
}

// RunningHandler names a handler call that has not returned, or that a middleware has not let begin.
type RunningHandler struct {
	Group   string // of a consumer group; "" for a handler of a live channel
	Channel string // of a handler of a live channel; "" for one of a consumer group
	Chat    domain.ChatID
	Seq     domain.Seq     // 0 if the event is in no log
	Event   domain.EventID // "" if the message has none
}

func (h RunningHandler) String() string {
	if h.Group == "" {
		return fmt.Sprintf("live handler of %s", h.Channel)
	}
	return fmt.Sprintf("group %q chat %q seq %d event %s", h.Group, h.Chat, h.Seq, h.Event)
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
