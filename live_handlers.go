package chatcore

import (
	"context"
	"fmt"

	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// handle calls the handlers of an event, unless ctx has ended.
func (l *liveListeners) handle(ctx context.Context, q *liveQueue, i liveItem) {
	if ctx.Err() != nil {
		l.drop()
		return
	}
	defer l.core.progress.made()
	defer l.handled.Add(1)
	in, err := l.decode(i)
	if err != nil {
		l.unreadable.Add(1)
		l.core.config.Logger.DebugContext(ctx, "live payload is no event", "channel", i.typ, "error", err)
		return
	}
	ctx, end := l.core.telemetry.Process(ctx, telemetry.Received{Type: i.typ, ID: in.ID, Seq: in.Seq, TraceParent: in.Meta.TraceParent})
	defer end(nil)
	l.call(ctx, i.typ, in, q.handlers)
}

func (l *liveListeners) decode(i liveItem) (wireformat.Incoming, error) {
	if !i.logged {
		return l.core.codec.DecodeLenient(i.typ, i.notice.JSON, l.core.clock.Now())
	}
	r, err := l.tail.Decode(i.notice)
	if u, unknown := r.Event.(domain.Unknown); unknown {
		err = fmt.Errorf("%w: %s in version %d", ports.ErrNewerVersion, u.Type, u.Version)
	}
	return wireformat.Incoming{ID: r.ID, Seq: r.Seq, Ordinal: r.Ordinal, Event: r.Event, Meta: r.Meta}, err
}

// call calls handlers, one after another.
func (l *liveListeners) call(ctx context.Context, typ string, in wireformat.Incoming, handlers []LiveHandler) {
	for i, h := range handlers {
		l.guard(ctx, typ, func() {
			defer l.calls.Begin(AbandonedHandler{Channel: typ, Chat: chatOf(in.Event), Seq: in.Seq, Event: in.ID})()
			h.handle(ctx, in)
		}, func() { l.call(ctx, typ, in, handlers[i+1:]) })
	}
}

// guard keeps a handler's panic from ending the process. A handler that calls [runtime.Goexit] ends the goroutine: rest is called before.
func (l *liveListeners) guard(ctx context.Context, typ string, call, rest func()) {
	returned := false
	defer func() {
		if returned {
			return
		}
		l.failed.Add(1)
		if r := recover(); r != nil {
			l.core.config.Logger.ErrorContext(ctx, "live handler panicked", "channel", typ, "panic", r)
			return
		}
		l.core.config.Logger.ErrorContext(ctx, "live handler called runtime.Goexit", "channel", typ)
		rest()
	}()
	call()
	returned = true
}

// chatOf returns the chat of an event, or "" for one that belongs to none.
func chatOf(e domain.Event) domain.ChatID {
	if durable, ok := e.(domain.Durable); ok {
		return durable.ChatID()
	}
	return ""
}
