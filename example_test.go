package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// run starts a core and gives what stops it.
func run(core *chatcore.Core) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	<-core.Running()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			log.Fatal(err)
		}
	}
}

// say has ada create a chat and write into it.
func say(core *chatcore.Core, texts ...string) {
	ctx := context.Background()
	if _, err := core.Chats.Create(ctx, app.Create{Chat: "garden", By: "ada", Title: "Garden"}); err != nil {
		log.Fatal(err)
	}
	for _, text := range texts {
		if _, err := core.Chats.Send(ctx, app.Send{Chat: "garden", By: "ada", Content: text}); err != nil {
			log.Fatal(err)
		}
	}
}

// A consumer group is given every durable event of the types it handles, a chat's events in order.
func ExampleOn() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	arrived := make(chan chatcore.Delivery[domain.MessageNew])
	err = core.Subscribe("push", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		arrived <- d
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core, "The tomatoes are ripe.", "Who comes on Sunday?")
	for range 2 {
		d := <-arrived
		fmt.Printf("seq %d: %s: %s\n", d.ID.Seq, d.Event.Sender, d.Event.Content)
	}
	// Output:
	// seq 2: ada: The tomatoes are ripe.
	// seq 3: ada: Who comes on Sunday?
}

// Every process is given live events, at most once: what a gateway forwards to the sockets that it holds.
func ExampleOnLive() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	arrived := make(chan domain.TypingStart)
	err = core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStart]) { arrived <- l.Event }))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core)
	if _, err := core.Chats.StartTyping(context.Background(), app.Typing{Chat: "garden", By: "ada"}); err != nil {
		log.Fatal(err)
	}
	typing := <-arrived
	fmt.Println(typing.User, "types, for", typing.ExpiresAt.Sub(typing.At))
	// Output: ada types, for 5s
}

// An error that trying again will not mend sets the event aside at once; the next event follows.
func ExamplePermanent() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	errGone := errors.New("the device is gone")
	done := make(chan struct{})
	err = core.Subscribe("push", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		fmt.Printf("%s, attempt %d\n", d.Event.Content, d.Attempt)
		if d.Event.Content == "first" {
			return chatcore.Permanent(errGone)
		}
		close(done)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core, "first", "second")
	<-done
	fmt.Println("dead letters:", core.Stats().DeadLetters)
	// Output:
	// first, attempt 1
	// second, attempt 1
	// dead letters: 1
}

// A plain Watermill handler works on a consumer group as it does on any other subscriber.
func ExampleCore_SubscribeMessages() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	arrived := make(chan string)
	err = core.SubscribeMessages("audit", func(msg *message.Message) error {
		arrived <- msg.Metadata.Get("type") + " of chat " + msg.Metadata.Get("chat_id")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core, "hello")
	fmt.Println(<-arrived)
	fmt.Println(<-arrived)
	// Output:
	// chat:update of chat garden
	// message:new of chat garden
}

// Watermill middlewares go around the handlers of all groups.
func ExampleCore_Use() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	err = core.Use(func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			fmt.Println("before", msg.Metadata.Get("type"))
			produced, err := next(msg)
			fmt.Println("after", msg.Metadata.Get("type"))
			close(done)
			return produced, err
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	err = core.Subscribe("index", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.ChatUpdate]) error {
		fmt.Println("handled", d.Event.Title)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core)
	<-done
	// Output:
	// before chat:update
	// handled Garden
	// after chat:update
}

// On for all durable events, and how often a failure is tried again.
func ExampleConfig_retry() {
	config := chatcore.Config{}
	config.Retry.Attempts, config.Retry.First = 3, time.Millisecond
	core, err := chatcore.NewInMemory(config)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	err = core.Subscribe("index", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		if d.Attempt < 3 {
			return errors.New("the index does not answer")
		}
		fmt.Println("attempt", d.Attempt)
		close(done)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core)
	<-done
	// Output: attempt 3
}
