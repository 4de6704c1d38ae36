package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// arrivals records when messages of an open loop arrive at a reader. The message numbers of the loop are contiguous. Its methods are safe for concurrent use.
type arrivals struct {
	mu    sync.Mutex // mu guards the fields below
	first int64
	began time.Time
	each  time.Duration
	took  []float64 // ms from when the message was due, by number; negative until it arrives
	left  int
	done  chan struct{} // closed when all have arrived
}

// expect begins the loop of n messages of which one is due each interval.
func (a *arrivals) expect(first int64, began time.Time, each time.Duration, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first, a.began, a.each, a.left, a.done = first, began, each, n, make(chan struct{})
	a.took = make([]float64, n)
	for i := range a.took {
		a.took[i] = -1
	}
}

func (a *arrivals) add(id string) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	i := numberOf(id) - a.first
	if i < 0 || i >= int64(len(a.took)) || a.took[i] >= 0 {
		return
	}
	a.took[i] = float64(now.Sub(a.began.Add(time.Duration(i)*a.each)).Microseconds()) / 1e3
	a.left--
	if a.left == 0 {
		close(a.done)
	}
}

// wait waits for the messages of the loop until a time limit. It returns the times of those that have arrived, and the number of the others.
func (a *arrivals) wait(limit time.Duration) (took []float64, missing int) {
	select {
	case <-a.done:
	case <-time.After(limit):
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ms := range a.took {
		if ms >= 0 {
			took = append(took, ms)
		}
	}
	return took, a.left
}

// peerReaders are a peer's durable handler and live listener.
type peerReaders struct {
	*peer
	handled, heard arrivals
}

// peerLatencies are the latencies of a peer at one rate, in ms by round, to the durable handler and to the live listener, and the server's processor time of
// a message with both deliveries, in µs.
type peerLatencies struct {
	handled, heard [][]float64
	server         []float64
	missed         int // messages that the live listener never received
}

const latencyChats = 100

// BenchmarkPeerLatency measures the time from when a message is due until it arrives at a durable handler and at a live listener, which both run, at fixed
// rates, whatever the answers.
func BenchmarkPeerLatency(b *testing.B) {
	const each = 2 * time.Second
	rates := []int{300, 2000}
	readers := openReaders(b)
	taken := map[int]map[string]*peerLatencies{}
	for _, rate := range rates {
		taken[rate] = map[string]*peerLatencies{}
		for _, r := range readers {
			if r.sustains(b, rate) {
				taken[rate][r.label()] = &peerLatencies{}
			}
		}
	}
	for b.Loop() {
		for range rounds {
			for _, rate := range rates {
				for _, r := range readers {
					if to := taken[rate][r.label()]; to != nil {
						r.loop(b, rate, int(float64(rate)*each.Seconds()), to)
					}
				}
			}
		}
	}
	plotPeerLatencies(b, readers, taken[rates[0]])
	for _, rate := range rates {
		writeTable(b, fmt.Sprint("peer-latency-", rate), latencyRows(readers, taken[rate]))
	}
	ours, theirs := taken[rates[0]]["chatcore"], taken[rates[0]]["Centrifuge"]
	b.ReportMetric(1e3*median(roundly(ours.handled, 0.5)), "µs-handler-p50")
	b.ReportMetric(1e3*median(roundly(ours.heard, 0.5)), "µs-live-p50")
	b.ReportMetric(median(roundly(ours.heard, 0.5))/median(roundly(theirs.heard, 0.5)), "×Centrifuge-live-p50")
}

// openReaders opens the peers and their readers, and waits until each reader has received a message.
func openReaders(b *testing.B) []*peerReaders {
	b.Helper()
	var all []*peerReaders
	for _, p := range openPeers(b, latencyChats) {
		r := &peerReaders{peer: p}
		p.deliver(&r.handled, &r.heard)
		r.warm(b)
		all = append(all, r)
	}
	return all
}

// warm sends until a message has arrived at both readers.
func (r *peerReaders) warm(b *testing.B) {
	b.Helper()
	const n = 100_000 // more than are sent
	first := messageCount.Load() + 1
	r.handled.expect(first, time.Now(), 0, n)
	r.heard.expect(first, time.Now(), 0, n)
	for deadline := time.Now().Add(time.Minute); (r.durable && !r.handled.any()) || !r.heard.any(); time.Sleep(20 * time.Millisecond) {
		if err := r.sendNext(latencyChats)(b.Context()); err != nil {
			b.Fatal(err)
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: nothing has arrived", r.label())
		}
	}
}

func (a *arrivals) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left < len(a.took)
}

// sustains reports whether the peer stores messages faster than at a rate, in the best of three tries.
func (r *peerReaders) sustains(b *testing.B, rate int) bool {
	b.Helper()
	best := 0.0
	for range 3 {
		r.quiet()
		n, took := during(b, 64, 300*time.Millisecond, r.sendNext(latencyChats))
		best = max(best, float64(n)/took.Seconds())
	}
	return best > 1.25*float64(rate)
}

// catchUp waits until the readers have received all that was sent before.
func (r *peerReaders) catchUp(b *testing.B) {
	b.Helper()
	n := messageCount.Add(1)
	r.handled.expect(n, time.Now(), 0, 1)
	r.heard.expect(n, time.Now(), 0, 1)
	if err := r.send(b.Context(), int(n%latencyChats), messageID(n)); err != nil {
		b.Fatalf("%s: %v", r.label(), err)
	}
	if r.durable {
		if _, missing := r.handled.wait(time.Minute); missing > 0 {
			b.Fatalf("%s: the handler is a minute behind", r.label())
		}
	}
	r.heard.wait(5 * time.Second)
}

// loop sends n messages at a rate and adds their latencies.
func (r *peerReaders) loop(b *testing.B, rate, n int, to *peerLatencies) {
	b.Helper()
	r.catchUp(b)
	r.quiet()
	each := time.Second / time.Duration(rate)
	first := messageCount.Add(int64(n)) - int64(n) + 1
	before := r.cpu()
	began := time.Now().Add(10 * time.Millisecond)
	r.handled.expect(first, began, each, n)
	r.heard.expect(first, began, each, n)
	var sends sync.WaitGroup
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * each)))
		sends.Go(func() {
			if err := r.send(context.WithoutCancel(b.Context()), (int(first)+i)%latencyChats, messageID(first+int64(i))); err != nil {
				b.Errorf("%s: %v", r.label(), err)
			}
		})
	}
	sends.Wait()
	if r.durable {
		handled, missing := r.handled.wait(time.Minute)
		if missing > 0 {
			b.Fatalf("%s: %d of %d messages have not been handled", r.label(), missing, n)
		}
		to.handled = append(to.handled, handled)
	}
	heard, missed := r.heard.wait(5 * time.Second)
	to.heard, to.missed = append(to.heard, heard), to.missed+missed
	to.server = append(to.server, 1e6*(r.cpu()-before)/float64(n))
}

// roundly returns a percentile of each round.
func roundly(rounds [][]float64, p float64) []float64 {
	values := make([]float64, len(rounds))
	for i, took := range rounds {
		values[i] = percentile(took, p)
	}
	return values
}

// latencyRows are the rows of a table: medians of the rounds with the lowest and highest, and the 99.9th percentile of all rounds together.
func latencyRows(readers []*peerReaders, taken map[string]*peerLatencies) [][]string {
	rows := [][]string{{"ms", "handler p50", "p99", "p99.9", "live p50", "p99", "p99.9", "not heard", "server, µs a message"}}
	for _, r := range readers {
		row := []string{r.label()}
		to := taken[r.label()]
		if to == nil {
			rows = append(rows, append(row, "not sustained", "", "", "", "", "", "", ""))
			continue
		}
		for _, rounds := range [][][]float64{to.handled, to.heard} {
			if len(rounds) == 0 {
				row = append(row, "none", "", "")
				continue
			}
			row = append(row, spread(roundly(rounds, 0.5), twoDigits), spread(roundly(rounds, 0.99), twoDigits), twoDigits(percentile(slices.Concat(rounds...), 0.999)))
		}
		rows = append(rows, append(row, fmt.Sprint(to.missed), fmt.Sprintf("%.0f", median(to.server))))
	}
	return rows
}
