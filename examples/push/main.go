// Command push sends a notification for every message, with retries and dead letters. It runs on an embedded Redis, or on that of REDIS_URL.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"

	"chatcore"
	"chatcore/domain"
	"chatcore/examples/internal/demo"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// errUnknownDevice is an error that no retry mends.
var errUnknownDevice = errors.New("unknown device")

// phones is the push service: ben's phone answers the second attempt, dan's is not registered.
type phones struct {
	mu    sync.Mutex
	calls map[chatcore.DeliveryID]int
	known map[domain.UserID]bool
	out   io.Writer
	sent  chan struct{}
}

// push sends a notification. id identifies the event in every attempt and process: the service uses it to send each notification once.
func (p *phones) push(to domain.UserID, text domain.Content, id chatcore.DeliveryID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[id]++
	switch {
	case !p.known[to]:
		return errUnknownDevice
	case p.calls[id] == 1:
		return errors.New("no answer")
	}
	_, err := fmt.Fprintf(p.out, "to %s: %q, attempt %d\n", to, text, p.calls[id])
	p.sent <- struct{}{}
	return err
}

func run(ctx context.Context, out io.Writer) error {
	core, done, err := demo.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = done() }()

	service := &phones{
		calls: make(map[chatcore.DeliveryID]int), known: map[domain.UserID]bool{"ben": true}, out: out, sent: make(chan struct{}, 10),
	}
	receivers := map[domain.ChatID]domain.UserID{"ada-ben": "ben", "ada-dan": "dan"}
	err = core.Subscribe("push", chatcore.OnPoison(chatcore.Skip), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		err := service.push(receivers[d.Event.Chat], d.Event.Content, d.ID)
		if errors.Is(err, errUnknownDevice) {
			return chatcore.Permanent(err) // a dead letter at once; other errors are retried with backoff
		}
		return err
	}))
	if err != nil {
		return err
	}
	if err := core.Start(ctx); err != nil {
		return err
	}

	for chat, receiver := range receivers {
		if _, err := core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Members: []domain.UserID{receiver}}); err != nil {
			return err
		}
	}
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "ada-dan", Actor: "ada", Content: "Are you there?"}); err != nil {
		return err
	}
	letter, err := firstDeadLetter(ctx, core)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "dead letter: seq %d of %s, attempt %d: %s\n", letter.Seq, letter.Chat, letter.Attempts, letter.Reason); err != nil {
		return err
	}
	if _, err := core.Chats.Send(ctx, domain.Send{Chat: "ada-ben", Actor: "ada", Content: "Lunch?"}); err != nil {
		return err
	}
	<-service.sent

	// The device is registered: an operator retries the dead letter, as `core deadletters retry` does.
	service.mu.Lock()
	service.known["dan"] = true
	service.mu.Unlock()
	if err := core.Groups().Retry(ctx, "push", letter.ID); err != nil {
		return err
	}
	<-service.sent
	return nil
}

// firstDeadLetter waits for a dead letter of the group. A service reads `core deadletters list` or the metric of dead letters instead.
func firstDeadLetter(ctx context.Context, core *chatcore.Core) (chatcore.DeadLetter, error) {
	for {
		for letter, err := range core.Groups().DeadLetters(ctx, "push") {
			return letter, err
		}
		if err := demo.Pause(ctx); err != nil {
			return chatcore.DeadLetter{}, err
		}
	}
}
