package live

import (
	"context"
	"fmt"
	"sync"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// calls are the calls of one function of a watcher. They end before end returns.
type calls struct {
	mu    sync.Mutex
	ended bool
}

func (c *calls) do(call func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		call()
	}
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// watchChannels joins receivers to channels of the [PubSub], and waits until they are subscribed.
func (t *Tail) watchChannels(ctx context.Context, c *calls, receivers map[string]receiver) (stop func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return nil, ports.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	link := t.config.PubSub.link
	if err := link.joinAll(ctx, receivers); err != nil {
		if t.ctx.Err() != nil {
			err = ports.ErrClosed
		}
		return nil, err
	}
	leave := sync.OnceFunc(func() {
		for name, r := range receivers {
			link.channels.leave(name, r)
		}
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		leave()
		return nil, ports.ErrClosed
	}
	t.others[c] = leave
	return func() {
		c.end()
		leave()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.others, c)
	}, nil
}

// WatchEphemeral implements [ports.Tail]. Payloads of other programs are heard too.
func (t *Tail) WatchEphemeral(ctx context.Context, fn func(ports.EphemeralNotice)) (stop func(), err error) {
	c := &calls{}
	receivers := make(map[string]receiver)
	for _, typ := range []string{wireformat.TypeTypingStart, wireformat.TypeTypingStop, wireformat.TypeUserStatus} {
		receivers[t.config.PubSub.config.Channel(typ)] = &ephemeralReceiver{tail: t, calls: c, typ: typ, fn: fn}
	}
	return t.watchChannels(ctx, c, receivers)
}

// ephemeralReceiver passes the events of one type on.
type ephemeralReceiver struct {
	tail  *Tail
	calls *calls
	typ   string
	fn    func(ports.EphemeralNotice)
}

// message implements [receiver].
func (r *ephemeralReceiver) message(payload string) {
	chat, user, ok := peek([]byte(payload))
	typing := r.typ != wireformat.TypeUserStatus
	if !ok || user == "" || typing && chat == "" {
		r.tail.malformed.Add(1)
		return
	}
	n := ports.EphemeralNotice{Type: r.typ, User: domain.UserID(user), JSON: []byte(payload)}
	if typing {
		n.Chat = domain.ChatID(chat)
	}
	r.calls.do(func() { r.fn(n) })
}

// resubscribed implements [receiver].
func (*ephemeralReceiver) resubscribed() {}

// evicted implements [receiver].
func (*ephemeralReceiver) evicted() {}

// DecodeEphemeral implements [ports.Tail].
func (t *Tail) DecodeEphemeral(n ports.EphemeralNotice) (domain.Ephemeral, ports.Meta, error) {
	in, err := t.config.Codec.DecodeLenient(n.Type, n.JSON, t.config.Now())
	if err != nil {
		return nil, ports.Meta{}, err
	}
	e, ok := in.Event.(domain.Ephemeral)
	if !ok {
		return nil, ports.Meta{}, fmt.Errorf("%s is not an ephemeral event", wireformat.Type(in.Event))
	}
	return e, in.Meta, nil
}

// WatchMemberships implements [ports.Tail].
func (t *Tail) WatchMemberships(ctx context.Context, fn func(domain.UserID)) (stop func(), err error) {
	c := &calls{}
	return t.watchChannels(ctx, c, map[string]receiver{t.config.Memberships: &membershipReceiver{tail: t, calls: c, fn: fn}})
}

// membershipReceiver passes the users on whose chats change.
type membershipReceiver struct {
	tail  *Tail
	calls *calls
	fn    func(domain.UserID)
}

// message implements [receiver].
func (r *membershipReceiver) message(payload string) {
	if payload == "" || len(payload) > domain.MaxIDBytes {
		r.tail.malformed.Add(1)
		return
	}
	r.calls.do(func() { r.fn(domain.UserID(payload)) })
}

// resubscribed implements [receiver].
func (r *membershipReceiver) resubscribed() { r.calls.do(func() { r.fn("") }) }

// evicted implements [receiver].
func (*membershipReceiver) evicted() {}
