package failures

import (
	"context"
	"fmt"
	"sync"
	"time"

	"chatcore"
	"chatcore/domain"
)

// unheard is the outcome of a live message that no listener heard. Any message may be lost; the next may be heard.
const unheard = "unheard"

// hearing is how long a live message may take.
const hearing = time.Second

// receipts records the messages that a handler or a live listener received.
type receipts struct {
	mu       sync.Mutex
	messages map[domain.MessageID]chan struct{}
}

func (t *receipts) of(id domain.MessageID) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.messages == nil {
		t.messages = make(map[domain.MessageID]chan struct{})
	}
	if t.messages[id] == nil {
		t.messages[id] = make(chan struct{})
	}
	return t.messages[id]
}

// add records that a message was received. A message may be received again.
func (t *receipts) add(id domain.MessageID) {
	came := t.of(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-came:
	default:
		close(came)
	}
}

// listen adds a handler and a live listener to the subject's core.
func (s *subject) listen() error {
	if err := s.core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { s.heard.add(l.Event.Message) })); err != nil {
		return err
	}
	return s.core.Subscribe("failures", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		s.handled.add(d.Event.Message)
		return nil
	}))
}

func (s *subject) send(ctx context.Context) (domain.MessageID, error) {
	sent, err := s.core.Chats.Send(ctx, domain.Send{Chat: "room", Actor: "ada", Content: "x"})
	return sent.MessageID, err
}

// sendAndHandle sends a message and waits until a handler gets it.
func sendAndHandle(ctx context.Context, s *subject) (string, error) {
	id, err := s.send(ctx)
	if err != nil {
		return "", err
	}
	select {
	case <-s.handled.of(id):
		return answers, nil
	case <-ctx.Done():
		return "", fmt.Errorf("no handler was given %s: %w", id, ctx.Err())
	}
}

// sendAndHear sends a message and waits a moment for a live listener to hear it.
func sendAndHear(ctx context.Context, s *subject) (string, error) {
	id, err := s.send(ctx)
	if err != nil {
		return "", err
	}
	late := time.NewTimer(hearing)
	defer late.Stop()
	select {
	case <-s.heard.of(id):
		return answers, nil
	case <-late.C:
		return unheard, nil
	}
}
