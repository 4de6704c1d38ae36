package ports

import (
	"context"
	"time"

	"chatcore/domain"
)

// Delivery is a durable event on its way to one consumer group's handler: at least once, a chat's events in the order of their seqs.
type Delivery struct {
	ID      DeliveryID
	Event   domain.Durable
	Ordinal domain.Ordinal
	Meta    Meta

	Attempt     int       // handler starts for this delivery, counted from the first failure on, over all processes: 1 until it has failed
	Redelivered bool      // whether a handler may have been started for it before
	Epoch       uint64    // of the lease under which it is delivered; grows with every owner: an effect with a lower one than another has come late
	Appended    time.Time // when the event was appended, by Redis's clock; by the event's own time where it was read back from the log
}

// DeliveryID is an event's identity, the same in every delivery of it. Seq and Log are zero for an event that another program put
// on the stream and that is in no log.
type DeliveryID struct {
	Log   string // the event log's own id
	Chat  domain.ChatID
	Seq   domain.Seq
	Event domain.EventID
}

// Feed hands out what a log appended, for logs that have no stream of their own.
type Feed interface {
	// Next gives up to limit records that were appended after the given position, in the order of their append, and the position
	// after them. It waits until there is one or ctx ends, whose error it then returns. Position 0 is before the first.
	Next(ctx context.Context, after uint64, limit int) ([]Record, uint64, error)
	// End is the position after the last record.
	End() uint64
}
