package chaos

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"chatcore/domain"
)

// Promises about live events and presence.
const (
	HeardOnce Rule = "a live listener hears an event at most once"
	HeardReal Rule = "a live event is one of the log, with its seq and its content"
	Online    Rule = "users that send heartbeats are online, and no others"
)

// Heard is a durable event as a live listener heard it.
type Heard struct {
	Listener string
	Place
	Content string
	Decided time.Time // when its command was decided, by the clock of the process that did: before it was published
	At      time.Time // when it was heard, which may be long after it was published
}

// Presence holds the online users at the end, without faults.
type Presence struct {
	Beating []domain.UserID // users that send heartbeats
	Online  []domain.UserID
}

// decided returns when the command of an event was decided, by the event's id. Ids have the time of the process, which no fault shifts; the time that the
// event carries is that of Redis's clock.
func decided(event domain.EventID) (time.Time, error) {
	id, err := uuid.Parse(string(event))
	if err == nil && id.Version() != 7 {
		err = errors.New("not of version 7")
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("event id %q: %w", event, err)
	}
	return time.Unix(id.Time().UnixTime()), nil
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
		case !c.mayBeGone(h.Place, h.Decided, h.At):
			c.violated(HeardReal, h.Chat, h.Seq, "%s heard %s at %s, which the log does not have", h.Listener, h.Place, h.At.Format("15:04:05.000"))
		}
	}
}

// presence compares the online users with users that send heartbeats.
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
