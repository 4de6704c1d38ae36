package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) demo() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Show a chat's life in an embedded Redis: nothing to install", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.embedded = true
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				return (&show{c: c, core: core}).run(cmd.Context())
			})
		},
	}
}

// show is one demo: its commands, and the events that arrive.
type show struct {
	c    *cli
	core *chatcore.Core

	mu        sync.Mutex
	arrived   *sync.Cond
	delivered map[domain.Seq]bool
}

const demoChat = "garden"

func (s *show) run(ctx context.Context) error {
	s.delivered, s.arrived = make(map[domain.Seq]bool), sync.NewCond(&s.mu)
	err := s.core.Subscribe("demo", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		s.say(color.FgGreen, "delivered", fmt.Sprintf("seq %2d  %s", d.ID.Seq, sentence(d.Event)))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.delivered[d.ID.Seq] = true
		s.arrived.Broadcast()
		return nil
	}))
	if err != nil {
		return err
	}
	if err := s.core.Listen(
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStart]) {
			s.say(color.FgYellow, "live", sentence(l.Event))
		}),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStop]) {
			s.say(color.FgYellow, "live", sentence(l.Event))
		}),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.UserStatus]) {
			s.say(color.FgYellow, "live", sentence(l.Event))
		}),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) {
			s.say(color.FgYellow, "live", sentence(l.Event))
		}),
	); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	if err := s.core.Start(running); err != nil {
		return err
	}
	err = errors.Join(s.play(ctx), s.settle(ctx), s.fold(ctx))
	stop()
	return errors.Join(err, s.core.Wait())
}

// play is the chat's life.
func (s *show) play(ctx context.Context) error {
	chats := s.core.Chats
	send := func(by, id, text string) func() error {
		return func() error {
			_, err := chats.Send(ctx, domain.Send{Chat: demoChat, Actor: domain.UserID(by), MessageID: domain.MessageID(id), Content: text})
			return err
		}
	}
	type scene struct {
		what string
		do   func() error
	}
	for _, sc := range []scene{
		{"ada comes online", func() error {
			return s.core.Presence.Heartbeat(ctx, "ada", "phone", "")
		}},
		{"ada creates the chat with ben", func() error {
			_, err := chats.Create(ctx, domain.Create{Chat: demoChat, Actor: "ada", Title: "Garden", Members: []domain.UserID{"ben"}})
			return err
		}},
		{"ada adds cem", func() error {
			_, err := chats.Add(ctx, domain.Add{Chat: demoChat, Actor: "ada", User: "cem"})
			return err
		}},
		{"ada writes", send("ada", "m1", "The tomatoes are ripe. Who comes on Sunday?")},
		{"ben types", func() error {
			_, err := chats.StartTyping(ctx, domain.Typing{Chat: demoChat, Actor: "ben"})
			return err
		}},
		{"ben writes, which ends his typing", send("ben", "m2", "I do! What shall I brin?")},
		{"ben sends the same message again, as after a lost reply", send("ben", "m2", "I do! What shall I brin?")},
		{"ben mends it", func() error {
			_, err := chats.Edit(ctx, domain.Edit{Chat: demoChat, Actor: "ben", MessageID: "m2", Content: "I do! What shall I bring?"})
			return err
		}},
		{"cem reacts", func() error {
			_, err := chats.React(ctx, domain.React{Chat: demoChat, Actor: "cem", MessageID: "m1", Emoji: "🍅"})
			return err
		}},
		{"cem writes", send("cem", "m3", "Wrong chat, sorry")},
		{"cem deletes it", func() error {
			_, err := chats.Delete(ctx, domain.Delete{Chat: demoChat, Actor: "cem", MessageID: "m3"})
			return err
		}},
		{"ada has read all of it", func() error {
			_, err := chats.MarkRead(ctx, domain.MarkRead{Chat: demoChat, Actor: "ada", MessageID: "m2", AwaitRecorded: true})
			return err
		}},
	} {
		s.say(color.FgCyan, "command", sc.what)
		if err := sc.do(); err != nil {
			return err
		}
		pause(ctx, 120*time.Millisecond) // for people to follow
	}
	s.say(color.FgCyan, "command", "dan, a non-member, tries to write")
	err := send("dan", "m4", "hello?")()
	if !errors.Is(err, domain.ErrNotMember) {
		return fmt.Errorf("dan should have been refused: %w", err)
	}
	s.say(color.FgRed, "refused", err.Error())
	return nil
}

// settle waits until all that is in the log was delivered.
func (s *show) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	events, err := s.core.Queries.Events(ctx, demoChat, domain.Span{First: true, Limit: app.MaxEvents})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, s.arrived.Broadcast)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.delivered) < len(events) {
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d events delivered: %w", len(s.delivered), len(events), ctx.Err())
		}
		s.arrived.Wait()
	}
	return nil
}

// fold shows the state that the events add up to.
func (s *show) fold(ctx context.Context) error {
	chat, err := s.core.Queries.Chat(ctx, demoChat)
	if err != nil {
		return err
	}
	messages, err := s.core.Queries.History(ctx, demoChat, domain.Span{First: true})
	if err != nil {
		return err
	}
	members, err := s.core.Queries.Members(ctx, demoChat)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.c.out, "\nThe chat %q, folded from its log:\n", chat.Title)
	for _, m := range messages {
		fmt.Fprintln(s.c.out, s.c.row(messageRow(m)))
	}
	for _, m := range members {
		unread, err := s.core.Queries.Unread(ctx, demoChat, m.User)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.c.out, "%s (%s) has %d unread\n", m.User, m.Role, unread)
	}
	return nil
}

func (s *show) say(hue color.Attribute, kind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.c.out, "%s %s\n", color.New(hue).Sprintf("%10s", kind), text)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
