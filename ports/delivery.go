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
	// JSON is the event as the log has it, for a handler of encoded events; Event and Meta are zero then, and events of every version are delivered. It is
	// shared, and must not be changed.
	JSON []byte

	Attempt     int       // handler starts for this delivery, counted from the first failure on, over all processes: 1 until it has failed
	Redelivered bool      // whether a handler may have been started for it before
	Epoch       uint64    // of the lease under which it is delivered; grows with every owner: an effect with a lower one than another has come late
	Appended    time.Time // when the event was appended, by Redis's clock; by the event's own time where it was read back from the log
}

// ChatBatch holds the queued records of one chat, for a handler that takes several chats in one call.
type ChatBatch struct {
	Partition  int        // of the log; below 0 for an event that is in no log
	Deliveries []Delivery // at least one, in the order of their seqs and without a gap; an event that is in no log comes alone

	// The handler sets:
	Done  int           // how many of the deliveries, from the first on, are finished
	Err   error         // why the next one is not; it is delivered again as after a call of its own
	Later time.Duration // without Err: the rest is delivered again after this time, together with later records
}

// DeliveryID is an event's identity, the same in every delivery of it. Seq and Log are zero for an event that another program put
// on the stream and that is in no log.
type DeliveryID struct {
	Log   string // id of the event log or, after restores, of the oldest log that it continues
	Chat  domain.ChatID
	Seq   domain.Seq
	Event domain.EventID
}

// Feed returns appended records, for logs that have no stream of their own.
type Feed interface {
	// Next gives up to limit records that were appended after the given position, in the order of their append, and the position
	// after them. It waits until there is one or ctx ends, whose error it then returns. Position 0 is before the first.
	Next(ctx context.Context, after uint64, limit int) ([]Record, uint64, error)
	// End is the position after the last record.
	End() uint64
}

// ChatHead is a chat and its last seq.
type ChatHead struct {
	Chat domain.ChatID
	Head domain.Seq
	Err  error // a [*CorruptError] if the head is missing; Head is 0 then
}

// EventRange asks for a chat's events from a seq on.
type EventRange struct {
	Chat  domain.ChatID
	From  domain.Seq
	Limit int // events at most, from 1
}

// EncodedPage is a stretch of a chat's log as it was encoded: each event is the JSON that was handed to delivery.
type EncodedPage struct {
	Events [][]byte // from the seq that was asked for, without a gap
	Head   domain.Seq
	Err    error // a [*CorruptError] if something of the chat is missing from the seq that was asked for on; the page is empty then
}

// HeadPage is one page of a comparison of chats with the checkpoints of a consumer group.
type HeadPage struct {
	Ahead    []ChatHead // chats whose head is beyond their checkpoint, or is missing
	Err      error      // a [*CorruptError] if the partition has lost chats; of the last page only
	Next     uint64     // cursor of the next page, 0 after the last one
	Compared int        // chats on this page
	Total    int        // chats of the partition, approximately
	Tail     string     // last entry that was handed to delivery at that moment, "" if there is none
}

// Backlog reads a log by partition, for groups that are behind.
type Backlog interface {
	// ListHeads gives some of a partition's chats, where to go on, 0 at the end, and about how many chats there are. It begins with 0. From there to the
	// end every chat comes that had an event at the beginning; one may come twice. If chats are missing, the last call returns [ErrCorrupt]: the
	// earlier results are incomplete.
	ListHeads(ctx context.Context, partition int, cursor uint64) (heads []ChatHead, next uint64, total int, err error)
	// ReadRaw gives a page for each stretch, all in the same partition. A page may be shorter than asked for; only an empty one without an error is
	// at the end. The witness is the id of the last record handed to delivery at that moment, "" if there was none: while that exists, all of the
	// pages exists. Where an earlier one, unless it is "", is no longer there, there are no pages: the log has lost something since.
	ReadRaw(ctx context.Context, partition int, earlier string, stretches []EventRange) (pages []EncodedPage, witness string, err error)
	// CompareHeads compares the heads of about count chats of a partition with the checkpoints that a consumer group keeps beside the log under
	// a key. It begins at cursor 0. Every chat that has an event when a pass begins is compared once or more before Next is 0. A log whose
	// deliveries cannot get lost returns an empty page.
	CompareHeads(ctx context.Context, partition int, checkpoints string, cursor uint64, count int) (HeadPage, error)
}
