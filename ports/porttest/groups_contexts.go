package porttest

import (
	"context"
	"errors"
	"reflect"
	"time"

	"chatcore/ports"
	"chatcore/ports/groups"
)

// calls returns a call of every method that takes a context. Each would change the state of g's group or read it.
func (g *groupsTest) calls(epoch uint64, ids []groups.StreamID) map[string]func(ctx context.Context) error {
	every, letter := g.every(2, ids), g.letters()[0].ID
	return map[string]func(ctx context.Context) error{
		"Store.Create": func(ctx context.Context) error {
			_, err := g.Stores.Store("new").Create(ctx, g.p, groups.Start{})
			return err
		},
		"Store.Seed": func(ctx context.Context) error {
			_, err := g.Stores.Store("waiting").Seed(ctx, g.p, nil, true)
			return err
		},
		"Store.Heartbeat": func(ctx context.Context) error {
			_, err := g.store.Heartbeat(ctx, "b", time.Hour, nil, time.Second)
			return err
		},
		"Store.Acquire": func(ctx context.Context) error {
			leases, errs := g.store.Acquire(ctx, []groups.Partition{g.p}, []bool{false}, applicant("a"))
			if leases[0] != nil {
				return nil
			}
			return errs[0]
		},
		"Store.Commit": func(ctx context.Context) error {
			return g.store.Commit(ctx, []groups.OwnedCommit{{Partition: g.p, Epoch: epoch, Commit: &every}}, groupLease)[0].Err
		},
		"Store.Release": func(ctx context.Context) error {
			return g.store.Release(ctx, []groups.Release{{Partition: g.p, Epoch: epoch}})
		},
		"Store.Checkpoints": func(ctx context.Context) error {
			_, err := g.store.Checkpoints(ctx, g.p, []string{g.chat(0)})
			return err
		},
		"Store.Changes": func(ctx context.Context) error {
			_, err := g.store.Changes(ctx, g.p)
			return err
		},
		"Store.Letters": func(ctx context.Context) error {
			_, err := g.store.Letters(ctx, g.p, []string{"1-0"})
			return err
		},
		"Store.CompareHeads": func(ctx context.Context) error {
			_, err := g.store.CompareHeads(ctx, g.p, 0, 10)
			return err
		},
		"Store.Next": func(ctx context.Context) error {
			_, err := g.store.Next(ctx, g.p, groups.StreamID{}, true)
			return err
		},
		"Store.Last": func(ctx context.Context) error {
			_, err := g.store.Last(ctx, g.p)
			return err
		},
		"Store.Trimmed": func(ctx context.Context) error {
			_, _, err := g.store.Trimmed(ctx, g.p, ids[0])
			return err
		},
		"Store.Trim": func(ctx context.Context) error {
			_, err := g.store.Trim(ctx, g.p, 1)
			return err
		},
		"Admin.List": func(ctx context.Context) error { return failure(g.Stores.List(ctx)) },
		"Admin.Inspect": func(ctx context.Context) error {
			return failure(g.Stores.Inspect(ctx, "g", []groups.Partition{g.p}))
		},
		"Admin.Exists":           func(ctx context.Context) error { return failure(g.Stores.Exists(ctx, "g")) },
		"Admin.Rebuild":          func(ctx context.Context) error { return g.Stores.Rebuild(ctx, "g") },
		"Admin.Delete":           func(ctx context.Context) error { return g.Stores.Delete(ctx, "g") },
		"Admin.DeadLettersAfter": func(ctx context.Context) error { return firstError(g.Stores.DeadLettersAfter(ctx, "g", "")) },
		"Admin.DeadLetter":       func(ctx context.Context) error { return failure(g.Stores.DeadLetter(ctx, "g", letter)) },
		"Admin.Retry":            func(ctx context.Context) error { return g.Stores.Retry(ctx, "g", letter) },
		"Admin.Drop":             func(ctx context.Context) error { return g.Stores.Drop(ctx, "g", letter) },
	}
}

// testGroupContexts calls every method with a context that has ended. Those of Admin return its error. Those of a store return it too, or
// [ports.ErrUnavailable], because members end for any other error. Nothing changes.
func testGroupContexts(g *groupsTest) {
	lease, ids := g.owned()
	_, err := g.Stores.Store("waiting").Create(g.t.Context(), g.p, groups.Start{})
	g.ok(err)
	calls := g.calls(lease.Epoch, ids)
	for _, port := range []reflect.Type{reflect.TypeFor[groups.Store](), reflect.TypeFor[groups.Admin]()} {
		for i := range port.NumMethod() {
			m := port.Method(i)
			if name := port.Name() + "." + m.Name; calls[name] == nil && m.Type.NumIn() > 0 && m.Type.In(0) == reflect.TypeFor[context.Context]() {
				g.t.Fatalf("there is no call of %s", name)
			}
		}
	}
	before := g.saved()
	cancelled, cancel := context.WithCancel(g.t.Context())
	cancel()
	late, end := context.WithDeadline(g.t.Context(), time.Now().Add(-time.Minute))
	defer end()
	for name, call := range calls {
		for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
			err := call(ctx)
			if !errors.Is(err, want) && (name[:5] == "Admin" || !errors.Is(err, ports.ErrUnavailable)) {
				g.t.Fatalf("%s gave the error %v, want %v", name, err, want)
			}
		}
	}
	g.same("state after calls with ended contexts", g.saved(), before)
	exists, err := g.Stores.Exists(g.t.Context(), "new")
	g.ok(err)
	g.same("exists", exists, false)
	if lease := g.tryAcquire(g.Stores.Store("waiting"), g.p, applicant("a"), false); lease != nil {
		g.t.Fatalf("checkpoints were written")
	}
}
