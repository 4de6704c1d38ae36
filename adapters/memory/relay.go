package memory

import (
	"context"
	"fmt"
	"sync"

	"chatcore/ports"
)

// Relay carries requests between the parts of one process that have an instance id.
type Relay struct {
	mu sync.Mutex
	// mu guards instances.
	instances map[string]*instance
}

// instance is a part that answers.
type instance struct {
	answer    func(ctx context.Context, request []byte) []byte
	ctx       context.Context //nolint:containedctx // of all answers
	answering sync.WaitGroup
}

var _ ports.Relay = (*Relay)(nil)

// NewRelay returns a relay without instances.
func NewRelay() *Relay { return &Relay{instances: make(map[string]*instance)} }

// Answer implements [ports.Relay].
func (r *Relay) Answer(ctx context.Context, name string, answer func(ctx context.Context, request []byte) []byte) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i := &instance{answer: answer, ctx: ctx}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.instances[name] = i
	return func() {
		r.mu.Lock()
		if r.instances[name] == i {
			delete(r.instances, name)
		}
		r.mu.Unlock()
		cancel()
		i.answering.Wait()
	}, nil
}

// Ask implements [ports.Relay].
func (r *Relay) Ask(ctx context.Context, name string, request []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(request) > ports.MaxRelayed {
		return nil, fmt.Errorf("%w: a request of %d bytes; allowed: at most %d", ports.ErrTooLarge, len(request), ports.MaxRelayed)
	}
	r.mu.Lock()
	i := r.instances[name]
	if i != nil {
		i.answering.Add(1)
	}
	r.mu.Unlock()
	if i == nil {
		return nil, ports.ErrNoInstance
	}
	answered := make(chan []byte, 1)
	go func() {
		defer i.answering.Done()
		answered <- i.answer(i.ctx, request)
	}()
	select {
	case answer := <-answered:
		return answer, nil
	case <-ctx.Done():
		return nil, ports.Unavailable(ctx, ctx.Err())
	}
}
