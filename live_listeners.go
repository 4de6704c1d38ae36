package chatcore

import (
	"context"
	"sync"
	"sync/atomic"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/internal/calls"
	"chatcore/ports"
)

// liveListeners receives live events and calls the live handlers of a core. Each type of events that has handlers has a queue and a goroutine that calls
// them. Custom types without handlers of their own share one queue.
//
// With a tail, the events of the log come from it, and the channels bring only what no log contains: ephemeral events and the payloads of other
// programs. Without a tail all events come from the channels.
type liveListeners struct {
	core *Core
	tail ports.Tail // nil if there is none

	queues []*liveQueue
	byType map[string]*liveQueue // with nil for types of the core without handlers
	custom *liveQueue            // of other types, nil if there is none
	seqs   []*chatSeqs           // by partition

	received   atomic.Uint64 // events and payloads of a type with handlers
	handled    atomic.Uint64 // those whose handlers returned, and unreadable ones
	dropped    atomic.Uint64 // those that found a full queue, or were in it at the end
	unreadable atomic.Uint64
	failed     atomic.Uint64 // calls that panicked or called runtime.Goexit
	missed     atomic.Uint64 // events that the tail lost, as far as the seqs of later events show
	losses     atomic.Uint64 // calls of Lost

	calls calls.Set[AbandonedHandler]
}

// liveQueue holds events of a type until its handlers are called.
type liveQueue struct {
	typ      string // or pubsub.AnyCustom
	handlers []LiveHandler
	items    chan liveItem
}

// liveItem is an event that was received.
type liveItem struct {
	typ    string
	notice ports.Notice // has only JSON unless the event is logged
	logged bool         // the event comes from the tail
}

// watchChannel has receive called with each payload of a type's channel from its return on, until stop is called.
type watchChannel func(ctx context.Context, typ string, receive func(payload []byte)) (stop func(), err error)

// open begins to receive events, and to call the handlers on goroutines that running counts, until ctx ends. Events that are appended after it has
// returned are received.
func (l *liveListeners) open(ctx context.Context, handlers []LiveHandler, channels watchChannel, running *sync.WaitGroup) error {
	l.addQueues(handlers)
	if len(l.queues) == 0 {
		return nil
	}
	stop, err := l.watch(ctx, channels)
	if err != nil {
		return err
	}
	for _, q := range l.queues {
		calls.Each(running, q.items, func(i liveItem) { l.handle(ctx, q, i) }, func() {})
	}
	running.Go(func() {
		<-ctx.Done()
		stop()
		for _, q := range l.queues {
			l.end(q)
		}
	})
	return nil
}

// addQueues makes the queues for the types of the handlers.
func (l *liveListeners) addQueues(handlers []LiveHandler) {
	l.byType = make(map[string]*liveQueue)
	for _, typ := range wireformat.LiveTypes() {
		l.byType[typ] = nil
	}
	for _, h := range handlers {
		for _, typ := range h.types {
			q := l.byType[typ]
			if q == nil {
				q = &liveQueue{typ: typ, items: make(chan liveItem, l.core.config.Delivery.LiveBuffer)}
				l.byType[typ], l.queues = q, append(l.queues, q)
			}
			q.handlers = append(q.handlers, h)
		}
	}
	l.custom = l.byType[pubsub.AnyCustom]
	if l.custom == nil {
		return
	}
	for _, q := range l.queues {
		if q != l.custom && isCustom(q.typ) {
			q.handlers = append(q.handlers, l.custom.handlers...)
		}
	}
}

// isCustom reports whether the type of a queue is a custom one.
func isCustom(typ string) bool {
	return typ == pubsub.AnyCustom || wireformat.CheckCustomType(domain.CustomType(typ)) == nil
}

// watch begins to receive every event for which there is a queue, until stop is called.
func (l *liveListeners) watch(ctx context.Context, channels watchChannel) (stop func(), err error) {
	var watches []func() (func(), error)
	logged := false
	for _, q := range l.queues {
		custom := isCustom(q.typ)
		durable := custom || wireformat.IsDurable(q.typ)
		logged = logged || durable
		if custom && (l.tail != nil || q == l.custom) {
			continue
		}
		watches = append(watches, func() (func(), error) {
			return channels(ctx, q.typ, func(payload []byte) {
				if l.tail == nil || !durable || !wireformat.InLog(payload) {
					l.put(q, liveItem{typ: q.typ, notice: ports.Notice{JSON: payload}})
				}
			})
		})
	}
	if logged && l.tail != nil {
		for p := range l.tail.Partitions() {
			l.seqs = append(l.seqs, &chatSeqs{bound: max(1, seqsBound/l.tail.Partitions())})
			watches = append(watches, func() (func(), error) { return l.tail.Watch(ctx, p, l) })
		}
	}
	return beginAll(watches)
}

// beginAll makes calls at the same time, since each of them waits for Redis. stop ends all of them. After an error all have been stopped.
func beginAll(begin []func() (func(), error)) (stop func(), err error) {
	stops, errs := make([]func(), len(begin)), make([]error, len(begin))
	var beginning sync.WaitGroup
	for i, begin := range begin {
		beginning.Go(func() { stops[i], errs[i] = begin() })
	}
	beginning.Wait()
	stop = func() {
		for i, stop := range stops {
			if errs[i] == nil {
				stop()
			}
		}
	}
	for _, err := range errs {
		if err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// Appended implements [ports.TailWatcher].
func (l *liveListeners) Appended(partition int, notices []ports.Notice) {
	seqs := l.seqs[partition]
	for _, n := range notices {
		missed, again := seqs.next(n.Chat, n.Seq)
		l.missed.Add(missed)
		if again {
			continue
		}
		typ := wireformat.PeekType(n.JSON)
		q, known := l.byType[string(typ)]
		switch {
		case q != nil:
			l.put(q, liveItem{typ: q.typ, notice: n, logged: true})
		case !known && l.custom != nil:
			l.put(l.custom, liveItem{typ: string(typ), notice: n, logged: true})
		}
	}
}

// Lost implements [ports.TailWatcher].
func (l *liveListeners) Lost(partition int) {
	l.losses.Add(1)
	l.seqs[partition].lost++
}

// put queues an event. It drops the event if the queue is full.
func (l *liveListeners) put(q *liveQueue, i liveItem) {
	l.received.Add(1) // before the event can be handled or dropped
	select {
	case q.items <- i:
	default:
		l.drop()
	}
}

func (l *liveListeners) drop() {
	l.dropped.Add(1)
	l.core.progress.made()
}

// end drops what is in a queue to which nothing is added any more, and closes it.
func (l *liveListeners) end(q *liveQueue) {
	defer close(q.items)
	for {
		select {
		case <-q.items:
			l.drop()
		default:
			return
		}
	}
}

// idle reports whether the handlers of all received events have returned.
func (l *liveListeners) idle() bool {
	return l.handled.Load()+l.dropped.Load() == l.received.Load()
}
