package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/app/feed"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// run starts a core and returns a function that stops it.
func run(core *chatcore.Core) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	if err := core.Start(ctx); err != nil {
		log.Fatal(err)
	}
	return func() {
		cancel()
		if err := core.Wait(); err != nil {
			log.Fatal(err)
		}
	}
}

// say has ada create a chat and write into it.
func say(core *chatcore.Core, texts ...string) {
	ctx := context.Background()
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada", Title: "Garden"}); err != nil {
		log.Fatal(err)
	}
	for _, text := range texts {
		if _, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", Content: text}); err != nil {
			log.Fatal(err)
		}
	}
}

// An effect is made once for each event, also when the event is delivered again: here a counter, which a core on Redis keeps in Redis.
func ExampleCore_Once() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	written := make(map[domain.UserID]int) // for the core in memory
	done := make(chan struct{}, 2)
	err = core.Subscribe("statistics", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		made, err := core.Once(ctx, "written", d.ID, chatcore.Effect{
			Commands: []chatcore.Command{{"HINCRBY", "statistics:written", string(d.Event.Sender), "1"}},
			Func: func(context.Context) error {
				written[d.Event.Sender]++
				return nil
			},
		})
		if err != nil {
			return err
		}
		fmt.Println("attempt", d.Attempt, "made it:", made)
		if d.Attempt == 1 {
			return errors.New("the process crashed before the delivery was finished")
		}
		done <- struct{}{}
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core, "The tomatoes are ripe.", "Who comes on Sunday?")
	<-done
	<-done
	fmt.Println("ada wrote", written["ada"], "messages")
	// Output:
	// attempt 1 made it: true
	// attempt 2 made it: false
	// attempt 1 made it: true
	// attempt 2 made it: false
	// ada wrote 2 messages
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

// Every process receives live events, at most once: a gateway forwards them to its sockets.
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
	if _, err := core.Chats.StartTyping(context.Background(), domain.Typing{Chat: "garden", Actor: "ada"}); err != nil {
		log.Fatal(err)
	}
	typing := <-arrived
	fmt.Println(typing.User, "types, for", typing.ExpiresAt.Sub(typing.At))
	// Output: ada types, for 5s
}

// A feed gives a reader what it has missed of its chats, and then each event as it is appended. A reader that is interrupted begins again with its
// positions.
func ExampleCore_feeds() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()
	ctx := context.Background()
	say(core, "The tomatoes are ripe.")

	f, err := core.Feeds.Open(ctx, feed.Request{User: "ada", Chats: []feed.Position{{Chat: "garden", Seq: 1}}, DurableOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for events := 0; events < 2; {
		m, err := f.Next(ctx)
		if err != nil {
			log.Fatal(err) // feed.ErrSlow, for example: open a feed with f.Positions
		}
		switch m.Kind {
		case feed.KindEvent:
			events++
			sent, _ := m.Event.Record.Event.(domain.MessageNew)
			fmt.Printf("seq %d: %s: %s\n", m.Event.Record.Seq, sent.Sender, sent.Content)
		case feed.KindEphemeral, feed.KindSkipped, feed.KindChatJoined, feed.KindChatLeft, feed.KindResync, feed.KindHeartbeat:
		case feed.KindCaughtUp:
			fmt.Println("caught up to seq", m.To)
			if _, err := core.Chats.Send(ctx, domain.Send{Chat: "garden", Actor: "ada", Content: "Who comes on Sunday?"}); err != nil {
				log.Fatal(err)
			}
		}
	}
	for chat, seq := range f.Positions() {
		fmt.Println("read", chat, "up to seq", seq)
	}
	// Output:
	// seq 2: ada: The tomatoes are ripe.
	// caught up to seq 2
	// seq 3: ada: Who comes on Sunday?
	// read garden up to seq 3
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

// redisURL is that of the tests' Redis.
func redisURL() string { return redistest.Shared(inExample{}).URL() }

// inExample stands in for the test that an Example is not given.
type inExample struct{ testing.TB }

func (inExample) Helper()                   {}
func (inExample) Cleanup(func())            {}
func (inExample) Fatal(args ...any)         { log.Fatal(args...) }
func (inExample) Fatalf(f string, a ...any) { log.Fatalf(f, a...) }

// firstLetter waits for a group's first dead letter.
func firstLetter(groups chatcore.Groups, group string) chatcore.DeadLetter {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		for letter, err := range groups.DeadLetters(context.Background(), group) {
			if err != nil {
				log.Fatal(err)
			}
			return letter
		}
	}
	panic("unreachable")
}

// A chat is parked when one of its events is refused for good: the ones after it wait, those of other chats do not. Once the cause is mended, the
// dead letter is retried and the chat continues, in order.
func ExampleCore_Groups() {
	ctx := context.Background()
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redisURL(), Namespace: "example-" + uuid.NewString()}}
	config.Delivery.Retry.Attempts, config.Delivery.Retry.First = 2, time.Millisecond
	core, err := chatcore.New(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	var mended atomic.Bool
	pushed := make(chan string)
	err = core.Subscribe("push", chatcore.OnPoison(chatcore.Park), chatcore.Concurrency(8),
		chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			if d.Event.Content == "Who comes?" && !mended.Load() {
				return errors.New("the phone does not answer")
			}
			pushed <- string(d.Event.Content)
			return nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core, "The tomatoes are ripe.", "Who comes?", "On Sunday!")
	fmt.Println(<-pushed)

	groups := core.Groups()
	letter := firstLetter(groups, "push")
	fmt.Printf("dead letter: seq %d of %s after %d attempts: %s; parked: %t\n", letter.Seq, letter.Chat, letter.Attempts, letter.Reason, letter.Parked)
	list, err := groups.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	parked := 0
	for _, partition := range list[0].Partitions {
		parked += partition.Parked
	}
	fmt.Println("parked chats of "+list[0].Group+":", parked)

	mended.Store(true)
	if err := groups.Retry(ctx, "push", letter.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-pushed)
	fmt.Println(<-pushed)
	// Output:
	// The tomatoes are ripe.
	// dead letter: seq 3 of garden after 2 attempts: the phone does not answer; parked: true
	// parked chats of push: 1
	// Who comes?
	// On Sunday!
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

// Watermill middlewares surround the handlers of all groups that are subscribed here.
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
	config.Delivery.Retry.Attempts, config.Delivery.Retry.First = 3, time.Millisecond
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

// Poll is the data of a custom event: version 1 had one question only, as a string.
type Poll struct {
	Question string   `json:"question"`
	Answers  []string `json:"answers"`
}

var pollCreated = chatcore.Define[Poll]("poll:created", 2).
	Validated(func(p Poll) error {
		if len(p.Answers) < 2 {
			return errors.New("a poll needs two answers")
		}
		return nil
	}).
	Upcast(1, func(fields map[string]json.RawMessage) error {
		fields["answers"] = json.RawMessage(`["yes","no"]`)
		return nil
	})

// Custom events are recorded among the core's, with conditions, and delivered with their own type.
func ExampleDefine() {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	arrived := make(chan chatcore.CustomDelivery[Poll])
	err = core.Subscribe("polls", pollCreated.On(func(_ context.Context, d chatcore.CustomDelivery[Poll]) error {
		arrived <- d
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core)
	ctx := context.Background()
	create := func(p Poll) error {
		_, err := core.Chats.Record(ctx, domain.Record{
			Chat: "garden", Actor: "ada", Event: pollCreated.Of(p), Entity: "sunday",
			Conditions: []domain.Condition{{Entity: domain.CustomEntity("sunday"), Version: 0}}, // not there yet
		})
		return err
	}
	fmt.Println(create(Poll{Question: "Who comes on Sunday?"}))
	fmt.Println(create(Poll{Question: "Who comes on Sunday?", Answers: []string{"I", "not I"}}))
	d := <-arrived
	fmt.Println(d.Actor, "asks:", d.Event.Question, "seq", d.ID.Seq)
	fmt.Println(errors.Is(create(Poll{Question: "Again?", Answers: []string{"I", "not I"}}), chatcore.ErrConflict))
	// Output:
	// poll:created v2 is not valid: a poll needs two answers
	// <nil>
	// ada asks: Who comes on Sunday? seq 2
	// true
}

// A custom log comes with the stores of its consumer groups and the live channels of its events.
func ExampleWithEventLog() {
	codec, live := wireformat.New(), live.NewLocal(0)
	clock := chatcoretest.NewClock(time.Now())
	mine := memory.New(codec, clock, live.Announce)
	groups := memgroup.New(memgroup.Config{Log: mine, Codec: codec, Clock: clock}) // or the groups.Stores of the log's own database
	core, err := chatcore.New(context.Background(), chatcore.Config{}, chatcore.WithEventLog(chatcore.EventLog{
		ID: mine.ID(), Log: mine, Groups: groups, Backlog: groups.Backlog(), Live: live, Close: live.Close,
	}))
	if err != nil {
		log.Fatal(err)
	}
	arrived := make(chan string)
	err = core.Subscribe("index", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.ChatUpdate]) error {
		arrived <- string(d.Event.Title)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer run(core)()

	say(core)
	fmt.Println(<-arrived, "of log", core.LogID() == mine.ID())
	// Output: Garden of log true
}
