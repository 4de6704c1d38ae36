package live_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/pubsub/live"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// place is an event in a stream.
type place struct {
	chat domain.ChatID
	seq  string
}

// stream returns the events of a partition's stream.
func (r *tailRig) stream(partition int) (places []place) {
	r.t.Helper()
	entries, err := r.client.XRange(r.t.Context(), r.keys.Log().Stream(partition), "-", "+").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		chat, _ := e.Values["chat"].(string)
		seq, _ := e.Values["seq"].(string)
		if chat != "" {
			places = append(places, place{domain.ChatID(chat), seq})
		}
	}
	return places
}

// TestTail_HearsTheStream has several writers, of which some announce nothing, while announcements and connections get lost and Redis restarts. Watchers
// come and go. Each hears what the stream has, in its order.
func TestTail_HearsTheStream(t *testing.T) {
	for _, trims := range []bool{false, true} {
		t.Run(fmt.Sprintf("trimmed=%v", trims), func(t *testing.T) {
			t.Parallel()
			const partitions, steps = 3, 150
			server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			random := newDice(t)
			r := newTailRig(t, server, rigConfig{
				partitions: partitions, announce: true, tail: live.TailConfig{Sweep: 30 * time.Millisecond, Linger: time.Millisecond},
				pubsub: live.PubSubConfig{Client: losing(t, server.Addr(), func() bool { return random.below(3) == 0 })},
			})
			admin := server.Client(t)
			var ears []*ear
			for p := range partitions {
				ears = append(ears, r.watch(p), r.watch(p))
			}
			for range steps {
				p := random.below(partitions)
				switch chat := r.chatIn(p); random.below(20) {
				case 0:
					_ = admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err()
				case 1, 2:
					ears[random.below(len(ears))].stop()
				case 3, 4:
					ears = append(ears, r.watch(p))
				case 5, 6:
					r.add(p, "payload", "of another program")
				case 7:
					if trims {
						_ = r.client.XTrimMaxLen(t.Context(), r.keys.Log().Stream(p), int64(random.below(3))).Err()
					}
				case 8:
					if random.below(4) == 0 {
						server.Kill()
						server.Restart(t)
						wait.Until(t, "Redis answers", func() bool { return r.client.Ping(t.Context()).Err() == nil })
					}
				default:
					var writing sync.WaitGroup
					for i := range 3 {
						writing.Go(func() {
							for range random.below(4) {
								if err := r.append(t.Context(), domain.ChatID(fmt.Sprintf("%s%s", chat, []string{"", "-x", "-y"}[i])), 1+random.below(3)); err != nil {
									t.Error(err)
								}
							}
						})
					}
					writing.Wait()
				}
			}
			last := make(map[int]domain.ChatID)
			for p := range partitions {
				ears = append(ears, r.watch(p))
				last[p] = domain.ChatID("last") + r.chatIn(p)
				for i := 0; r.PartitionOf(last[p]) != p; i++ {
					last[p] = domain.ChatID("last" + strconv.Itoa(i))
				}
				r.send(last[p], 1)
			}
			for _, e := range ears {
				e.matches(r, last[e.partition])
			}
			t.Logf("%d holes, %d found, %d losses, %d reconnects", r.Holes(), r.Found(), r.Losts(), r.Reconnects())
		})
	}
}

// matches checks what was heard, up to the first event of the last chat unless the watcher has stopped.
func (e *ear) matches(r *tailRig, last domain.ChatID) {
	e.t.Helper()
	e.mu.Lock()
	stopped := e.stopped
	e.mu.Unlock()
	if !stopped {
		wait.Until(e.t, "the last event is heard", func() bool {
			seqs, lost := e.heard(last)
			if len(seqs) == 0 && lost > 0 { // it may be among the lost ones
				r.send(last, 1)
			}
			return len(seqs) > 0
		})
	}
	stream := r.stream(e.partition)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lost > 0 || len(e.notices) == 0 {
		return // the model of a partition has the order after a loss
	}
	at := make(map[place]int, len(stream))
	for i, p := range stream {
		at[p] = i + 1
	}
	before := 0
	for _, n := range e.notices {
		i := at[place{n.Chat, strconv.FormatUint(uint64(n.Seq), 10)}]
		if i == 0 { // trimmed
			continue
		}
		if before > 0 && i != before+1 {
			e.t.Fatalf("entry %d of the stream is heard after %d, without a loss", i, before)
		}
		before = i
	}
	if end := at[place{last, "1"}]; !stopped && before < end {
		e.t.Errorf("heard %d of %d entries", before, end)
	}
}

// dice gives the same numbers in each run with the same seed, as far as the order of goroutines allows.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newDice(t *testing.T) *dice {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number
	t.Logf("seed %d", seed)
	return &dice{random: rand.New(rand.NewPCG(seed, 0))}
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}
