package rig

import (
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

// Delivery is some delivery.
var Delivery = ports.DeliveryID{Log: "l", Chat: "c", Seq: 1, Event: "e"}

// FiveLogins and FivePaced are limits of both algorithms.
var (
	FiveLogins = ports.Limit{Rate: 5, Per: 15 * time.Minute}
	FivePaced  = ports.Limit{Algorithm: ports.GCRA, Rate: 5, Per: 15 * time.Minute}
)

// RandomIDs generates UUIDs.
type RandomIDs struct{}

// NewID implements [ports.IDs].
func (RandomIDs) NewID() string { return uuid.NewString() }

// NewPresence returns a store of presence with short times.
func NewPresence(t porttest.T, client goredis.UniversalClient, keys keyspace.Keys) *presence.Store {
	t.Helper()
	p, err := presence.New(presence.Config{
		Client: client, Keys: keys.Presence(), Codec: wireformat.New(), IDs: RandomIDs{}, TTL: porttest.PresenceTTL(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Phone is a connection of a device.
var Phone = domain.Connection{Device: "phone"}
