package memgroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Faults decides what happens to each call of a [groups.Store]. It is called by the goroutine of the call, once for each partition of a Commit, an
// Acquire or a Release: these are then made one after the other.
type Faults func(c Call) Fault

// Call is a call of a store.
type Call struct {
	Group     string
	Method    string           // of [groups.Store], such as "Commit"
	Partition groups.Partition // zero for Heartbeat
}

// Fault is what happens to a call. The zero value is no fault. The fields are applied in their order.
type Fault struct {
	Frozen   <-chan struct{} // unless nil, the call waits until it is closed: the process hangs
	Delay    time.Duration   // the call waits for it
	NotMade  bool            // the call returns [ports.ErrUnavailable] and does nothing
	NoAnswer bool            // the call is made and returns [ports.ErrUnavailable]: its answer is lost
}

var errInjected = errors.New("a test had the call fail")

// WithFaults returns stores whose calls have faults. A test gives each member a view of the same stores with faults of its own. Calls of
// [groups.Admin], Forget and Close have none.
func WithFaults(stores groups.Stores, faults Faults) groups.Stores {
	return &faultyStores{stores, faults}
}

type faultyStores struct {
	groups.Stores
	faults Faults
}

// Store implements [groups.Stores].
func (s *faultyStores) Store(group string) groups.Store {
	return &faultyStore{s.Stores.Store(group), group, s.faults}
}

type faultyStore struct {
	groups.Store
	group  string
	faults Faults
}

var _ groups.Store = (*faultyStore)(nil)

// do makes a call with its fault.
func do[T any](ctx context.Context, s *faultyStore, method string, p groups.Partition, call func() (T, error)) (result T, err error) {
	f := s.faults(Call{s.group, method, p})
	if err := f.wait(ctx); err != nil {
		return result, ports.Unavailable(ctx, err)
	}
	if !f.NotMade {
		result, err = call()
	}
	if f.NotMade || f.NoAnswer {
		var none T
		return none, fmt.Errorf("%w: %w", ports.ErrUnavailable, errInjected)
	}
	return result, err
}

// wait waits as long as the fault says. It returns ctx's error if ctx ends before.
func (f Fault) wait(ctx context.Context) error {
	if f.Frozen != nil {
		select {
		case <-f.Frozen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.Delay == 0 {
		return nil
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// alone makes a call that has no result.
func alone(ctx context.Context, s *faultyStore, method string, p groups.Partition, call func() error) error {
	_, err := do(ctx, s, method, p, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

func (s *faultyStore) Create(ctx context.Context, p groups.Partition, at groups.Start) (bool, error) {
	return do(ctx, s, "Create", p, func() (bool, error) { return s.Store.Create(ctx, p, at) })
}

func (s *faultyStore) Seed(ctx context.Context, p groups.Partition, checkpoints []groups.Checkpoint, last bool) (bool, error) {
	return do(ctx, s, "Seed", p, func() (bool, error) { return s.Store.Seed(ctx, p, checkpoints, last) })
}

func (s *faultyStore) Heartbeat(ctx context.Context, member string, ttl time.Duration, declined []groups.Partition, coolDown time.Duration) (groups.Members, error) {
	return do(ctx, s, "Heartbeat", groups.Partition{}, func() (groups.Members, error) { return s.Store.Heartbeat(ctx, member, ttl, declined, coolDown) })
}

func (s *faultyStore) Acquire(ctx context.Context, partitions []groups.Partition, lost []bool, by groups.Applicant) ([]*groups.Lease, []error) {
	leases, errs := make([]*groups.Lease, len(partitions)), make([]error, len(partitions))
	for i, p := range partitions {
		leases[i], errs[i] = do(ctx, s, "Acquire", p, func() (*groups.Lease, error) {
			one, err := s.Store.Acquire(ctx, []groups.Partition{p}, lost[i:i+1], by)
			return one[0], err[0]
		})
	}
	return leases, errs
}

func (s *faultyStore) Commit(ctx context.Context, changes []groups.OwnedCommit, lease time.Duration) []groups.CommitResult {
	results := make([]groups.CommitResult, len(changes))
	for i, c := range changes {
		var err error
		results[i], err = do(ctx, s, "Commit", c.Partition, func() (groups.CommitResult, error) {
			return s.Store.Commit(ctx, []groups.OwnedCommit{c}, lease)[0], nil
		})
		if err != nil {
			results[i].Err = err
		}
	}
	return results
}

func (s *faultyStore) Release(ctx context.Context, held []groups.Release) error {
	var errs []error
	for _, r := range held {
		errs = append(errs, alone(ctx, s, "Release", r.Partition, func() error { return s.Store.Release(ctx, []groups.Release{r}) }))
	}
	return errors.Join(errs...)
}

func (s *faultyStore) Checkpoints(ctx context.Context, p groups.Partition, chats []string) ([]domain.Seq, error) {
	return do(ctx, s, "Checkpoints", p, func() ([]domain.Seq, error) { return s.Store.Checkpoints(ctx, p, chats) })
}

func (s *faultyStore) Changes(ctx context.Context, p groups.Partition) (groups.Changes, error) {
	return do(ctx, s, "Changes", p, func() (groups.Changes, error) { return s.Store.Changes(ctx, p) })
}

func (s *faultyStore) Letters(ctx context.Context, p groups.Partition, ids []string) ([]groups.StoredLetter, error) {
	return do(ctx, s, "Letters", p, func() ([]groups.StoredLetter, error) { return s.Store.Letters(ctx, p, ids) })
}

func (s *faultyStore) CompareHeads(ctx context.Context, p groups.Partition, cursor uint64, count int) (ports.HeadPage, error) {
	return do(ctx, s, "CompareHeads", p, func() (ports.HeadPage, error) { return s.Store.CompareHeads(ctx, p, cursor, count) })
}

func (s *faultyStore) Next(ctx context.Context, p groups.Partition, after groups.StreamID, wait bool) (*groups.Batch, error) {
	return do(ctx, s, "Next", p, func() (*groups.Batch, error) { return s.Store.Next(ctx, p, after, wait) })
}

func (s *faultyStore) Last(ctx context.Context, p groups.Partition) (groups.StreamID, error) {
	return do(ctx, s, "Last", p, func() (groups.StreamID, error) { return s.Store.Last(ctx, p) })
}

func (s *faultyStore) Trimmed(ctx context.Context, p groups.Partition, gone groups.StreamID) (trimmed bool, first groups.StreamID, err error) {
	first, err = do(ctx, s, "Trimmed", p, func() (groups.StreamID, error) {
		var err error
		trimmed, first, err = s.Store.Trimmed(ctx, p, gone)
		return first, err
	})
	return trimmed && err == nil, first, err
}

func (s *faultyStore) Trim(ctx context.Context, p groups.Partition, bound int) ([]string, error) {
	return do(ctx, s, "Trim", p, func() ([]string, error) { return s.Store.Trim(ctx, p, bound) })
}
