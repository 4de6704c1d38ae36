package chatcore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// FollowRetention has the vault follow what retention has erased, by a clock, in the partitions that the core owns.
func (c *Core) FollowRetention(ctx context.Context, now time.Time) error {
	v := c.newVaultRetention()
	v.now = func() time.Time { return now }
	for _, p := range c.vaultPartitions() {
		if err := v.follow(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// ownedVault is a vault with the partitions that its process owns. It does not list the objects of a prefix.
type ownedVault struct {
	*memory.Vault

	mu         sync.Mutex // guards the others
	partitions []int
	fails      string // "" for none
	lists      int
}

func (o *ownedVault) set(fails string, partitions ...int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fails, o.partitions = fails, partitions
}

func (o *ownedVault) owned() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.partitions
}

// listed returns the number of lists since the last call.
func (o *ownedVault) listed() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, o.lists = o.lists, 0
	return n
}

func (o *ownedVault) List(ctx context.Context, prefix, after string) iter.Seq2[ports.Object, error] {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lists++
	if o.fails != "" && strings.HasPrefix(prefix, o.fails) {
		return func(yield func(ports.Object, error) bool) { yield(ports.Object{}, ports.ErrUnavailable) }
	}
	return o.Vault.List(ctx, prefix, after)
}

// TestVaultRetention_Passes runs the hourly passes by a clock that moves only when all wait. A generation that a later one replaces goes once its grace has ended; a failure
// in one partition is logged, and stops neither the others nor the next pass.
func TestVaultRetention_Passes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const log = "0123456789abcdef"
		v := &ownedVault{Vault: memory.NewVault()}
		for partition := range 2 {
			for generation := range uint64(2) {
				name := object.Segment(log, partition, "c", 0, generation)
				if err := v.Put(t.Context(), name.String(), []byte("a segment")); err != nil {
					t.Fatal(err)
				}
			}
		}
		codec := wireformat.New()
		rules := memory.New(codec, systemClock{}, nil)
		groups := memgroup.New(memgroup.Config{Log: rules, Codec: codec, Clock: systemClock{}})
		passes := &vaultRetention{
			rules: rules, backlog: groups.Backlog(), now: time.Now,
			eraser: erase.New(erase.Config{Vault: v, Log: log, Partition: func(domain.ChatID) int { return 0 }, Now: time.Now}),
		}
		var logged bytes.Buffer
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			passes.run(ctx, v.owned, slog.New(slog.NewTextHandler(&logged, nil)))
		}()
		after := func(pause time.Duration, lists int, want ...string) {
			t.Helper()
			time.Sleep(pause)
			synctest.Wait()
			if n := v.listed(); n != lists {
				t.Errorf("%d partitions were listed, want %d", n, lists)
			}
			if left := generationsIn(t, v.Vault); !slices.Equal(left, want) {
				t.Errorf("the segments are %v, want %v", left, want)
			}
		}
		all := []string{"0: 0", "0: 1", "1: 0", "1: 1"}
		after(0, 0, all...) // the process owns nothing yet
		v.set(object.Segments(log, 0), 0, 1)
		after(vaultIdleEvery, 2, all...) // the grace of partition 1 begins
		if text := logged.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "partition=0") || !strings.Contains(text, ports.ErrUnavailable.Error()) {
			t.Errorf("the log is %q", text)
		}
		v.set("", 0, 1)
		after(vaultFollowEvery-time.Second, 0, all...)
		after(time.Second, 2, "0: 0", "0: 1", "1: 1") // that of partition 0 begins
		after(vaultFollowEvery, 2, "0: 1", "1: 1")
		cancel(errors.New("the process stops"))
		after(0, 0, "0: 1", "1: 1")
		select {
		case <-ended:
		default:
			t.Error("the passes go on after their context has ended")
		}
		if text := logged.String(); strings.Count(text, "\n") != 1 {
			t.Errorf("the log is %q", text)
		}
	})
}

// generationsIn returns the partition and the generation of each segment in a vault.
func generationsIn(t *testing.T, v ports.Vault) (all []string) {
	t.Helper()
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d: %d", name.Partition, name.Generation))
	}
	return all
}
