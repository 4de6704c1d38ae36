package group_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

const (
	lease    = 3 * time.Second
	attempts = 4
)

// ledger records what handlers do, and checks the promises about deliveries.
type ledger struct {
	w *world

	mu     sync.Mutex
	events map[string]*eventRecord
	queues map[string][]*startRecord        // running starts by queue
	last   map[string]map[uint64]domain.Seq // queue → epoch → last seq that was started
	grants map[int][]grant                  // by partition, in the order of their epochs
	starts int
	faults []string

	story map[string][]string // what happened to each chat, and to the store under ""

	restored, rebuilt time.Time // when the store has lost writes, and the group was rebuilt, last
}

// eventRecord is what happened to an event.
type eventRecord struct {
	chat     string
	seq      domain.Seq
	starts   int
	acks     int
	attempt  int       // of the last start
	epoch    uint64    // of the last start
	at       time.Time // of the last start
	finished bool      // it was acked, or became a dead letter if its commit was made
}

// startRecord is a handler that runs.
type startRecord struct {
	member string
	epoch  uint64
	event  *eventRecord
}

// grant is a lease that the store has granted.
type grant struct {
	epoch uint64
	at    time.Time
}

func newLedger(w *world) *ledger {
	return &ledger{
		w: w, events: make(map[string]*eventRecord), queues: make(map[string][]*startRecord), last: make(map[string]map[uint64]domain.Seq),
		grants: make(map[int][]grant), story: make(map[string][]string),
	}
}

// fault records a broken promise about a chat, the first with what happened before. The mutex is held.
func (l *ledger) fault(chat domain.ChatID, format string, args ...any) {
	text := l.now() + fmt.Sprintf(format, args...)
	if len(l.faults) == 0 {
		story := slices.Concat(l.story[string(chat)], l.story[""])
		slices.Sort(story)
		text += "\n\t" + strings.Join(story[max(len(story)-80, 0):], "\n\t")
	}
	if len(l.faults) < 10 {
		l.faults = append(l.faults, text)
	}
}

func (*ledger) now() string { return time.Now().Format("15:04:05.000 ") }

// note adds to the story of a chat. The mutex is held.
func (l *ledger) note(chat domain.ChatID, format string, args ...any) {
	l.story[string(chat)] = append(l.story[string(chat)], l.now()+fmt.Sprintf(format, args...))
}

// happened adds to the story of the store.
func (l *ledger) happened(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("", format, args...)
}

func (l *ledger) granted(partition int, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("", "partition %d granted under the epoch %d", partition, epoch)
	l.grants[partition] = append(l.grants[partition], grant{epoch, time.Now()})
}

// decided adds a decision about a dead letter to the story of its chat.
func (l *ledger) decided(d groups.DeadLetter, retry bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(d.Chat, "letter %s of seq %d, attempts %d, parked %v, again %v: retried %v", d.ID, d.Seq, d.Attempts, d.Parked, d.Again, retry)
}

// forget is called when the store has lost writes: an earlier lease may count again, and what happened since is not known. With restored false only the
// group's state is lost.
func (l *ledger) forget(restored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rebuilt = time.Now()
	l.note("", "group rebuilt, or writes lost: %v", restored)
	if restored {
		l.restored = time.Now()
		clear(l.grants)
	}
}

// queue returns the queue of a delivery.
func (l *ledger) queue(d ports.Delivery) string {
	chat := string(d.ID.Chat)
	switch l.w.plan.order {
	case delivery.ByKey:
		return chat + "/" + keyOf(d)
	case delivery.Unordered:
		return fmt.Sprintf("%s/%d", chat, d.ID.Seq)
	case delivery.ByChat:
	}
	return chat
}

// begin records the start of a handler, which was called at a time: later deliveries of a batch begin later. It returns the function that records its
// end.
func (l *ledger) begin(member string, d ports.Delivery, called time.Time) func(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts++
	key := fmt.Sprintf("%s/%d", d.ID.Chat, d.ID.Seq)
	if d.ID.Seq == 0 {
		key = "entry " + string(d.ID.Event)
	}
	e := l.events[key]
	if e == nil {
		e = &eventRecord{chat: string(d.ID.Chat), seq: d.ID.Seq}
		l.events[key] = e
	}
	queue := l.queue(d)
	s := &startRecord{member, d.Epoch, e}
	what := fmt.Sprintf("%s (queue %s) attempt %d of %s under the epoch %d", key, queue, d.Attempt, member, d.Epoch)
	if d.ID.Seq > 0 {
		l.checkTime(what, d, called)
		l.checkQueue(what, queue, s)
		l.checkOrder(what, queue, d)
	}
	l.checkAttempt(what, e, d)
	l.note(d.ID.Chat, "%s, redelivered %v", what, d.Redelivered)
	e.starts++
	e.attempt, e.epoch, e.at = d.Attempt, d.Epoch, time.Now()
	l.queues[queue] = append(l.queues[queue], s)
	return func(err error) { l.end(queue, s, d, err) }
}

func (l *ledger) end(queue string, s *startRecord, d ports.Delivery, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	running := l.queues[queue][:0]
	for _, other := range l.queues[queue] {
		if other != s {
			running = append(running, other)
		}
	}
	l.queues[queue] = running
	l.note(d.ID.Chat, "%s/%d under the epoch %d: %v", d.ID.Chat, d.ID.Seq, d.Epoch, err)
	switch {
	case err == nil:
		s.event.acks++
		s.event.finished = true
	case group.IsPermanent(err), !group.IsTransient(err) && !errors.Is(err, errPostponed) && d.Attempt >= attempts:
		s.event.finished = true
	}
}

// checkTime checks that no handler starts under a lease that another one has replaced. While earlier owners may not know it, because a lease was ended
// early, they may start handlers for the length of a lease.
func (l *ledger) checkTime(what string, d ports.Delivery, called time.Time) {
	partition := l.w.groups.PartitionOf(d.ID.Chat).Number
	for _, g := range l.grants[partition] {
		if g.epoch <= d.Epoch {
			continue
		}
		late := called.Sub(g.at)
		if !l.w.plan.endsLeases && late > 0 || late > lease {
			l.fault(d.ID.Chat, "%s started %v after the lease %d was granted", what, late, g.epoch)
			return
		}
	}
}

// checkQueue checks that a queue has one handler at a time, apart from handlers that have outlived their lease in another member.
func (l *ledger) checkQueue(what, queue string, s *startRecord) {
	for _, other := range l.queues[queue] {
		if other.member == s.member || other.epoch == s.epoch {
			l.fault(domain.ChatID(s.event.chat), "%s started while seq %d runs in %s under the epoch %d", what, other.event.seq, other.member, other.epoch)
		}
	}
}

// checkOrder checks that all earlier events of a queue are finished, and that a lease delivers a queue in order. A retried dead letter is out of order.
func (l *ledger) checkOrder(what, queue string, d ports.Delivery) {
	if l.w.plan.order == delivery.Unordered || l.events[fmt.Sprintf("%s/%d", d.ID.Chat, d.ID.Seq)].finished {
		return
	}
	for seq := domain.Seq(1); seq < d.ID.Seq; seq++ {
		e := l.events[fmt.Sprintf("%s/%d", d.ID.Chat, seq)]
		if l.w.plan.order == delivery.ByKey && !l.sameKey(d, seq) {
			continue
		}
		gone := e != nil && e.attempt >= attempts && e.epoch < d.Epoch // the last attempt did not end before its lease
		if e == nil || !e.finished && !gone {
			l.fault(d.ID.Chat, "%s started before seq %d was finished", what, seq)
			return
		}
	}
	if last := l.last[queue][d.Epoch]; d.ID.Seq < last {
		l.fault(d.ID.Chat, "%s started after seq %d", what, last)
	}
	if l.last[queue] == nil {
		l.last[queue] = make(map[uint64]domain.Seq)
	}
	l.last[queue][d.Epoch] = d.ID.Seq
}

// sameKey reports whether another event of the chat has the same key.
func (l *ledger) sameKey(d ports.Delivery, seq domain.Seq) bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.keys[d.ID.Chat][seq-1] == keyOf(d)
}

// checkAttempt checks that a repeated delivery says so, and that attempts do not decrease, unless the store, or an owner that another one has replaced,
// cannot know of the last start.
func (l *ledger) checkAttempt(what string, e *eventRecord, d ports.Delivery) {
	switch {
	case d.Epoch < e.epoch:
	case d.Attempt < 1:
		l.fault(d.ID.Chat, "%s has no number", what)
	case e.starts > 0 && !d.Redelivered && e.at.After(l.restored.Add(lease)):
		l.fault(d.ID.Chat, "%s looks new after %d starts", what, e.starts)
	case d.Attempt < e.attempt && !e.finished && e.at.After(l.rebuilt.Add(lease)):
		l.fault(d.ID.Chat, "%s started after attempt %d", what, e.attempt)
	}
}

// missing returns the events of the log that are not acked and not dropped.
func (l *ledger) missing(dropped map[string]bool) (missing []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for chat, head := range l.w.heads {
		for seq := domain.Seq(1); seq <= head; seq++ {
			key := fmt.Sprintf("%s/%d", chat, seq)
			e := l.events[key]
			if (e == nil || e.acks == 0) && !dropped[key] {
				missing = append(missing, key)
			}
		}
	}
	return missing
}

// twice returns the events that were delivered more than once.
func (l *ledger) twice() (twice []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, e := range l.events {
		if e.starts > 1 {
			twice = append(twice, key)
		}
	}
	return twice
}

func (l *ledger) report() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.faults, "\n")
}
