package chaos

import (
	"slices"
	"time"

	"chatcore/domain"
)

// Promises about live events and presence.
const (
	HeardOnce Rule = "a live listener hears an event at most once"
	HeardReal Rule = "a live event is one of the log, with its seq and its content"
	Online    Rule = "who sends heartbeats is online, and nobody else"
)

// Heard is a durable event as a live listener heard it.
type Heard struct {
	Listener string
	Place
	Content string
	Said    time.Time // when the event says that it happened
	At      time.Time // when it was heard, which may be long after it was published
}

// Presence is who was online when everything was quiet.
type Presence struct {
	Beating []domain.UserID // who sends heartbeats
	Online  []domain.UserID
}

// published returns a time at or before the publication of a live event. Events carry the time of Redis's clock, which faults shift by up to a minute.
func (c *checker) published(h Heard) time.Time {
	if len(c.Jumps) > 0 {
		return h.Said.Add(-time.Minute)
	}
	return h.Said
}

// heard holds live events against the log. That some are missing, and in which order they come, is no violation.
func (c *checker) heard() {
	type once struct {
		listener string
		event    domain.EventID
	}
	heard := make(map[once]bool)
	for _, h := range c.Heard {
		if key := (once{h.Listener, h.Event}); heard[key] {
			c.violated(HeardOnce, h.Chat, h.Seq, "%s heard %s again at %s", h.Listener, h.Place, h.At.Format("15:04:05.000"))
		} else {
			heard[key] = true
		}
		l, there := c.byID[h.Event]
		switch {
		case there && l.Place == h.Place && digest(l.What) == h.Content:
		case there:
			c.violated(HeardReal, h.Chat, h.Seq, "%s heard %s with content %s, the log has %s with %s", h.Listener, h.Place, h.Content, l.Place, digest(l.What))
		case !c.mayBeGone(h.Place, c.published(h), h.At):
			c.violated(HeardReal, h.Chat, h.Seq, "%s heard %s at %s, which the log does not have", h.Listener, h.Place, h.At.Format("15:04:05.000"))
		}
	}
}

// presence compares who is online with who sends heartbeats.
func (c *checker) presence() {
	if c.Presence == nil {
		return
	}
	for _, user := range c.Presence.Beating {
		if !slices.Contains(c.Presence.Online, user) {
			c.violated(Online, "", 0, "%s sends heartbeats and is not online", user)
		}
	}
	for _, user := range c.Presence.Online {
		if !slices.Contains(c.Presence.Beating, user) {
			c.violated(Online, "", 0, "%s is online and sends no heartbeats", user)
		}
	}
}
