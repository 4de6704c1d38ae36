package chatcore

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"chatcore/adapters/memory"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// overrides are the ports that options have replaced; nil is the core's own.
type overrides struct {
	log       *EventLog
	clock     ports.Clock
	ids       ports.IDs
	contacts  app.ContactsOf
	gate      app.Gate
	directIDs app.DirectIDs
	tracers   trace.TracerProvider
	meters    metric.MeterProvider
	upcasters []wireformat.Option
	stores    ports.Stores
}

func newParts(options []Option) (overrides, error) {
	var p overrides
	for i, option := range options {
		if option == nil {
			return p, &domain.InvalidError{Field: "options", Problem: fmt.Sprintf("have nil as option %d", i+1), Allowed: "options such as WithClock"}
		}
		option(&p)
	}
	if err := p.directIDs.Check(); err != nil {
		return p, err
	}
	if p.tracers == nil {
		p.tracers = otel.GetTracerProvider()
	}
	if p.meters == nil {
		p.meters = otel.GetMeterProvider()
	}
	return p, nil
}

func newCodec(p overrides) *wireformat.Codec { return wireformat.New(p.upcasters...) }

func newClock(p overrides) ports.Clock {
	if p.clock != nil {
		return p.clock
	}
	return systemClock{}
}

func newIDs(p overrides) ports.IDs {
	if p.ids != nil {
		return p.ids
	}
	return uuids{}
}

// stores are the stores of a core: those of options, and its own for the rest.
type stores ports.Stores

// newRedisStores has the transitions of presence traced.
func newRedisStores(own ports.Stores, p overrides, t *telemetry.Telemetry) stores {
	own.Presence = t.Presence(own.Presence, wireformat.TypeUserStatus)
	return p.storesOr(own, t)
}

// newMemoryStores takes typing and limits from the log, whose appends end typing and count. The live bus traces the transitions of presence.
func newMemoryStores(own ports.Stores, log *memory.Log, p overrides, t *telemetry.Telemetry) stores {
	own.Typing, own.Limiter = log.Typing(), log.Limiter()
	return p.storesOr(own, t)
}

// newCustomStores has effects, read models and caches only if options provide them.
func newCustomStores(own ports.Stores, p overrides, t *telemetry.Telemetry) stores {
	own.Effects, own.UserChats, own.Unread, own.Blocks, own.Favourites, own.Hidden, own.Caches = nil, nil, nil, nil, nil, nil, nil
	return p.storesOr(own, t)
}

// storesOr returns the stores of the options, and own ones for the rest.
func (p overrides) storesOr(own ports.Stores, t *telemetry.Telemetry) stores {
	if p.stores.Presence != nil {
		p.stores.Presence = t.Presence(p.stores.Presence, wireformat.TypeUserStatus)
	}
	return stores(p.stores.Or(own))
}

// A custom log provides all ports but typing, presence and limits.

func customEventLog(p overrides) *EventLog { return p.log }

func customLog(b *EventLog) app.Log { return b.Log }

func customSnapshots(b *EventLog) ports.Snapshots { return b.Snapshots }

func customPublisher(b *EventLog) message.Publisher { return b.Live }

func customTransport(b *EventLog) LiveTransport { return b.Live }
