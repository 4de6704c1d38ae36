package memory

import (
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Config configures the stores beside the log. All fields are required.
type Config struct {
	PresenceTTL ports.PresenceTTL
	EffectTTL   time.Duration
	Sessions    domain.SessionPolicy
}

// NewStores returns the stores beside a log. Presence publishes on live.
func NewStores(c Config, clock ports.Clock, live ports.LiveBus) ports.Stores {
	values := NewStore(clock)
	return ports.Stores{
		Typing: NewTyping(clock), Presence: NewPresence(clock, live, c.PresenceTTL), Sessions: NewSessions(clock, c.Sessions),
		Limiter: NewLimiter(clock), Effects: NewEffects(clock, c.EffectTTL), Caches: NewCache(clock),
		UserChats: NewUserView(), Unread: NewUserView(), Values: values, Counters: values, Sets: values,
	}
}
