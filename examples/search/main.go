// Command search indexes all messages, from the beginning of every chat. It runs on an embedded Redis, or on that of REDIS_URL.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
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

// index maps words to messages. Each write replaces the words of one message, so a redelivered event changes nothing.
type index struct {
	mu      sync.Mutex
	words   map[domain.MessageID][]string
	handled map[domain.ChatID]domain.Seq
}

func (x *index) set(id chatcore.DeliveryID, message domain.MessageID, content domain.Content) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.words[message] = strings.FieldsFunc(strings.ToLower(string(content)), func(r rune) bool { return strings.ContainsRune(" .,!?", r) })
	x.handled[id.Chat] = id.Seq
}

func (x *index) find(word string) []domain.MessageID {
	x.mu.Lock()
	defer x.mu.Unlock()
	var found []domain.MessageID
	for _, id := range slices.Sorted(maps.Keys(x.words)) {
		if slices.Contains(x.words[id], word) {
			found = append(found, id)
		}
	}
	return found
}

// reached reports whether the index has the events of a chat up to a seq.
func (x *index) reached(chat domain.ChatID, seq domain.Seq) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.handled[chat] >= seq
}

func run(ctx context.Context, out io.Writer) error {
	core, done, err := demo.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = done() }()

	// The chat is older than the group.
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada", Title: "Garden"}); err != nil {
		return err
	}
	for id, content := range map[domain.MessageID]string{"m-1": "The tomatoes are ripe.", "m-2": "Tomatoes, again?", "m-3": "No more tomatoes!"} {
		if _, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", MessageID: id, Content: content}); err != nil {
			return err
		}
	}

	found := &index{words: make(map[domain.MessageID][]string), handled: make(map[domain.ChatID]domain.Seq)}
	err = core.Subscribe("search", chatcore.FromBeginning(),
		chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			found.set(d.ID, d.Event.Message, d.Event.Content)
			return nil
		}),
		chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageEdit]) error {
			found.set(d.ID, d.Event.Message, d.Event.Content)
			return nil
		}),
		chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageDelete]) error {
			found.set(d.ID, d.Event.Message, "")
			return nil
		}))
	if err != nil {
		return err
	}
	if err := core.Start(ctx); err != nil {
		return err
	}
	if _, err := core.Chats.Edit(ctx, domain.Edit{Chat: "garden", Actor: "ada", MessageID: "m-2", Content: "Cucumbers, again?"}); err != nil {
		return err
	}
	last, err := core.Chats.Delete(ctx, domain.Delete{Chat: "garden", Actor: "ada", MessageID: "m-3"})
	if err != nil {
		return err
	}
	for !found.reached("garden", last.Seq) {
		if err := demo.Pause(ctx); err != nil {
			return err
		}
	}
	for _, word := range []string{"tomatoes", "cucumbers"} {
		if _, err := fmt.Fprintf(out, "%s: %v\n", word, found.find(word)); err != nil {
			return err
		}
	}
	return nil
}
