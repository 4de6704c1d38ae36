package group

import "context"

// Joiner joins a consumer group of the log while the process runs. Of the configuration it takes Group, Order, OnPoison, Retry, Concurrency and Start; the rest
// is the process's. Each delivery whose Done(nil) counts is counted as handled. Events that are appended after it has returned reach the group.
type Joiner func(ctx context.Context, c Config, h Handler) (Membership, error)

// Membership is a process's part in a group that it has joined.
type Membership interface {
	// SetConcurrency changes the most deliveries in flight, from 0: those beyond it end first.
	SetConcurrency(n int)
	// Leave stops reading, waits for running handlers, for at most [Config].Drain and until ctx ends, commits their outcomes and releases the partitions.
	// The group remains. Leave may be called more than once.
	Leave(ctx context.Context) error
	// Done is closed when the membership has ended: by Leave, by itself, or with the process.
	Done() <-chan struct{}
	// Err returns why the membership has ended by itself, such as [groups.ErrGroupDeleted], or nil.
	Err() error
}
