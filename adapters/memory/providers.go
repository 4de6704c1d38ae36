package memory

import (
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Config configures everything that a core has in memory. All lifetimes are required.
type Config struct {
	Announce    bool // publish each event on the live channel of its type
	PresenceTTL ports.PresenceTTL
	EffectTTL   time.Duration
	Sessions    domain.SessionPolicy
}

// Announcer publishes the JSON of an event on the live channel of its type.
type Announcer interface {
	Announce(typ string, payload []byte)
}

// NewLog returns an empty log, which announces its events if the configuration says so.
func NewLog(c Config, codec *wireformat.Codec, clock ports.Clock, live Announcer) *Log {
	if !c.Announce {
		return New(codec, clock, nil)
	}
	return New(codec, clock, live.Announce)
}

// NewStores returns the stores beside a log. Presence publishes on live.
func NewStores(c Config, clock ports.Clock, live ports.LiveBus) ports.Stores {
	values := NewStore(clock)
	return ports.Stores{
		Typing: NewTyping(clock), Presence: NewPresence(clock, live, c.PresenceTTL), Sessions: NewSessions(clock, c.Sessions),
		Limiter: NewLimiter(clock), Effects: NewEffects(clock, c.EffectTTL), Caches: NewCache(clock),
		UserChats: NewUserView(), Unread: NewUserView(), Blocks: NewUserView(), Favourites: NewUserView(), Hidden: NewUserView(), Values: values, Counters: values, Sets: values,
		FeedState: NewFeedState(clock), WebhookAttempts: NewWebhookAttempts(clock),
	}
}
