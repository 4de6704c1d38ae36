package ports

import (
	"context"

	"chatcore/domain"
)

// Tail reports events as they happen, from all processes: durable events as they are appended, ephemeral events as they are published, and users whose
// chats change. All methods are safe for concurrent use.
type Tail interface {
	// Partitions returns the number of partitions of the log.
	Partitions() int
	// PartitionOf returns the partition of a chat, from 0.
	PartitionOf(chat domain.ChatID) int

	// Watch has the watcher hear each event that is appended to a partition from its return on, until stop is called. After stop returns, the watcher is
	// not called any more; stop may be called more than once, but not by the watcher. A process costs Redis something only for partitions that it watches.
	//
	// Watch returns ctx's error if ctx ends before the partition is watched, and [ErrClosed] after the tail's end.
	Watch(ctx context.Context, partition int, w TailWatcher) (stop func(), err error)

	// Decode returns the event of a notice.
	Decode(n Notice) (Record, error)

	// WatchEphemeral has fn hear ephemeral events from its return on, until stop is called: at most once each, and without order between publishers.
	// Errors are those of Watch.
	WatchEphemeral(ctx context.Context, fn func(EphemeralNotice)) (stop func(), err error)

	// DecodeEphemeral returns the event of a notice.
	DecodeEphemeral(n EphemeralNotice) (domain.Ephemeral, Meta, error)

	// WatchMemberships has fn hear each user whose view of chats has gained or lost one, after the view has changed. A user may come without a change.
	// fn is called with "" if changes of any users may have been missed. Errors are those of Watch.
	WatchMemberships(ctx context.Context, fn func(domain.UserID)) (stop func(), err error)
}

// TailWatcher hears the events of partitions. Calls for one partition are made one after another, in the order of its delivery stream, so that the events
// of a chat come in the order of their seqs. The calls must be quick. They may call the tail's Partitions, PartitionOf, Decode and DecodeEphemeral, which do
// not wait, and must not call its other methods. The same holds for the functions that hear ephemeral events and memberships.
type TailWatcher interface {
	// Appended is called with events that follow the ones before, without a gap; an event may come again. The slice must
	// not be kept or changed: the tail uses it again.
	Appended(partition int, notices []Notice)
	// Lost is called if events of a partition may have been missed that the tail cannot find any more. The watcher then compares the heads of the chats
	// that it follows.
	Lost(partition int)
}

// Notice is an event that was appended.
type Notice struct {
	Chat domain.ChatID
	Seq  domain.Seq
	JSON []byte // as the log has it; shared, must not be changed
}

// EphemeralNotice is an ephemeral event that was published.
type EphemeralNotice struct {
	Type string        // the name of its channel in the wire contract
	Chat domain.ChatID // "" for a status
	User domain.UserID
	JSON []byte // shared, must not be changed
}
