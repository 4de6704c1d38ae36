// Command custom records custom events, polls and votes, in a chat's log. It runs on an embedded Redis, or on that of REDIS_URL.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"chatcore"
	"chatcore/domain"
	"chatcore/examples/internal/demo"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// Poll asks a question.
type Poll struct {
	Question string   `json:"question"`
	Answers  []string `json:"answers"`
}

// Vote answers it.
type Vote struct {
	Answer int `json:"answer"`
}

var (
	pollCreated = chatcore.Define[Poll]("poll:created", 1).Validated(func(p Poll) error {
		if len(p.Answers) < 2 {
			return errors.New("a poll needs two answers")
		}
		return nil
	})
	pollVoted = chatcore.Define[Vote]("poll:voted", 1)
)

func run(ctx context.Context, out io.Writer) error {
	core, done, err := demo.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = done() }()

	lines := make(chan string)
	err = core.Subscribe("polls",
		pollCreated.On(func(_ context.Context, d chatcore.CustomDelivery[Poll]) error {
			lines <- fmt.Sprintf("%s asks: %s %v", d.Actor, d.Event.Question, d.Event.Answers)
			return nil
		}),
		pollVoted.On(func(_ context.Context, d chatcore.CustomDelivery[Vote]) error {
			lines <- fmt.Sprintf("%s votes for answer %d", d.Actor, d.Event.Answer)
			return nil
		}))
	if err != nil {
		return err
	}
	if err := core.Start(ctx); err != nil {
		return err
	}
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil {
		return err
	}

	// The condition says that the poll does not exist yet: of two concurrent polls with this id, one is recorded.
	const sunday = domain.CustomID("sunday")
	created, err := core.Chats.Record(ctx, domain.Record{
		Chat: "garden", Actor: "ada", Entity: sunday, Event: pollCreated.Of(Poll{Question: "Who comes on Sunday?", Answers: []string{"I", "not I"}}),
		Conditions: []domain.Condition{{Entity: domain.CustomEntity(sunday), Version: 0}},
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, <-lines); err != nil {
		return err
	}
	// The vote is for the poll as it was read: a later change of the poll makes it a conflict.
	vote := domain.Record{
		Chat: "garden", Actor: "ben", Entity: sunday, Event: pollVoted.Of(Vote{Answer: 1}),
		Conditions: []domain.Condition{{Entity: domain.CustomEntity(sunday), Version: created.Seq}},
	}
	if _, err := core.Chats.Record(ctx, vote); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, <-lines); err != nil {
		return err
	}
	_, err = core.Chats.Record(ctx, vote)
	_, err = fmt.Fprintln(out, "the same vote again is a conflict:", errors.Is(err, chatcore.ErrConflict))
	return err
}
