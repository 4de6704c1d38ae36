package feeds

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"chatcore/tests/redistest"
)

// place is an instance with its way to Redis.
type place struct {
	*instance
	way  *redistest.Proxy
	lost atomic.Uint32 // messages of pub/sub of a hundred that the way loses
}

// lose has the way lose messages as place.lost says.
func (p *place) lose() {
	lose := func(string) bool { return rand.Uint32N(100) < p.lost.Load() } //nolint:gosec // dice
	p.way.Lose.Store(&lose)
}

// fault is one kind of fault. It returns its target.
type fault struct {
	name string
	do   func(d *rand.Rand) (on string)
}

// faults are all kinds.
func (w *world) faults() []fault {
	between := func(d *rand.Rand, least, most time.Duration) {
		pause(w.t.Context(), least+time.Duration(d.Int64N(int64(most-least))))
	}
	anyPlace := func(d *rand.Rand) *place { return w.places[d.IntN(len(w.places))] }
	onReader := func(name string, do func(r *run, d *rand.Rand)) fault {
		return fault{name, func(d *rand.Rand) string {
			r := w.running()[d.IntN(len(w.running()))]
			do(r, d)
			return r.Name()
		}}
	}
	return []fault{
		onReader("disconnect", func(r *run, _ *rand.Rand) { r.Disconnect() }),
		onReader("stall", func(r *run, d *rand.Rand) {
			r.Stall(500*time.Millisecond + time.Duration(d.Int64N(int64(3*time.Second))))
		}),
		onReader("swallow reader", func(r *run, _ *rand.Rand) { r.Swallow() }),
		{"disconnect all", func(*rand.Rand) string {
			for _, r := range w.running() {
				r.Disconnect()
			}
			return ""
		}},
		{"lose messages", func(d *rand.Rand) string {
			p := anyPlace(d)
			before := p.lost.Swap(10 + d.Uint32N(91))
			between(d, 200*time.Millisecond, 2*time.Second)
			p.lost.Store(before)
			return p.name
		}},
		{"black hole", func(d *rand.Rand) string {
			p := anyPlace(d)
			p.way.Swallow(true)
			between(d, 200*time.Millisecond, 2*time.Second)
			p.way.Swallow(false)
			return p.name
		}},
		{"cut", func(d *rand.Rand) string {
			p := anyPlace(d)
			p.way.Cut()
			return p.name
		}},
		{"crash redis", func(d *rand.Rand) string {
			w.server.Kill()
			between(d, 0, 500*time.Millisecond)
			w.server.Restart(w.t)
			return ""
		}},
		{"restart redis", func(*rand.Rand) string {
			w.server.Restart(w.t)
			return ""
		}},
		{"freeze redis", func(d *rand.Rand) string {
			w.server.Freeze()
			between(d, 200*time.Millisecond, 2*time.Second)
			w.server.Thaw()
			return ""
		}},
		{"kill instance", func(d *rand.Rand) string {
			p := anyPlace(d)
			p.kill()
			between(d, 0, 500*time.Millisecond)
			p.start()
			return p.name
		}},
		{"restart instance", func(d *rand.Rand) string {
			p := anyPlace(d)
			p.stop()
			p.start()
			return p.name
		}},
		{"close session", func(d *rand.Rand) string {
			user := users[d.IntN(len(users))]
			return fmt.Sprint(user, " ", w.logins.close(w.t.Context(), user))
		}},
		{"new reader", func(d *rand.Rand) string { return w.read(w.randomConfig(d)).Name() }},
	}
}

// attack causes one fault after another for a while, each kind once before one comes again.
func (w *world) attack(seed uint64, d time.Duration) {
	dice := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // dice
	names := os.Getenv("CHATCORE_CHAOS_FAULTS")
	deck := slices.DeleteFunc(w.faults(), func(f fault) bool { return names != "" && !slices.Contains(strings.Split(names, ","), f.name) })
	for until := time.Now().Add(d); len(deck) > 0; {
		dice.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, f := range deck {
			pause(w.t.Context(), time.Duration(dice.Int64N(int64(400*time.Millisecond))))
			if w.t.Context().Err() != nil || time.Now().After(until) {
				return
			}
			began := time.Now()
			on := f.do(dice)
			w.happened = append(w.happened, fmt.Sprintf("%s to %s: %s %s", began.Format("15:04:05.000"), time.Now().Format("15:04:05.000"), f.name, on))
		}
	}
}
