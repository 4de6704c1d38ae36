package redisgroup_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestStore_Timeouts has a server that does not answer. Each step of a member ends after its timeout, which is not one of the caller.
func TestStore_Timeouts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, server)
	l := r.acquire(r.create("g", groups.Start{Beginning: true}), "m")
	hasty := redisgroup.New(redisgroup.Config{Commands: r.client, Blocking: r.client, Partitions: []redisgroup.Partition{r.place}, Log: r.log, Timeout: 10 * time.Millisecond})
	defer func() { r.check(hasty.Close()) }()
	store, p := hasty.Store("g"), []groups.Partition{r.partition}
	server.Freeze()
	defer server.Thaw()
	for name, do := range map[string]func(ctx context.Context) error{
		"create": func(ctx context.Context) error { _, err := store.Create(ctx, p[0], groups.Start{}); return err },
		"create at": func(ctx context.Context) error {
			_, err := store.Create(ctx, p[0], groups.Start{At: time.Unix(1, 0)})
			return err
		},
		"seed":        func(ctx context.Context) error { _, err := store.Seed(ctx, p[0], nil, true); return err },
		"heartbeat":   func(ctx context.Context) error { _, err := store.Heartbeat(ctx, "m", lease, nil, 0); return err },
		"release":     func(ctx context.Context) error { return store.Release(ctx, []groups.Release{{Partition: p[0]}}) },
		"checkpoints": func(ctx context.Context) error { _, err := store.Checkpoints(ctx, p[0], []string{"a"}); return err },
		"changes":     func(ctx context.Context) error { _, err := store.Changes(ctx, p[0]); return err },
		"letters":     func(ctx context.Context) error { _, err := store.Letters(ctx, p[0], []string{"1-1"}); return err },
		"heads":       func(ctx context.Context) error { _, err := store.CompareHeads(ctx, p[0], 0, 10); return err },
		"last":        func(ctx context.Context) error { _, err := store.Last(ctx, p[0]); return err },
		"trimmed":     func(ctx context.Context) error { _, _, err := store.Trimmed(ctx, p[0], l.End); return err },
		"trim":        func(ctx context.Context) error { _, err := store.Trim(ctx, p[0], 10); return err },
		"acquire": func(ctx context.Context) error {
			_, errs := store.Acquire(ctx, p, []bool{false}, groups.Applicant{Member: "m", Lease: lease})
			return errs[0]
		},
		"commit": func(ctx context.Context) error {
			return store.Commit(ctx, []groups.OwnedCommit{{Partition: p[0], Epoch: l.Epoch, Commit: &groups.Commit{Number: 1}}}, lease)[0].Err
		},
	} {
		if err := do(t.Context()); !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if err := do(ended(t.Context())); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, whose caller has left: %v", name, err)
		}
	}
}
