package app_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// limitedCall is the n-th of several calls of a command that each change something.
type limitedCall func(ctx context.Context, chats *app.Chats, n int) error

func limitedCalls() map[string]limitedCall {
	message := func(n int) domain.MessageID { return domain.MessageID(fmt.Sprint("m", n)) }
	return map[string]limitedCall{
		app.LimitSend: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "own", Content: fmt.Sprint("text ", n)})
			return err
		},
		app.LimitReact: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.React(ctx, domain.React{Chat: "c", Actor: "own", MessageID: message(n), Emoji: "👍"})
			return err
		},
		app.LimitEdit: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.Edit(ctx, domain.Edit{Chat: "c", Actor: "own", MessageID: message(n), Content: "other"})
			return err
		},
		app.LimitDelete: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.Delete(ctx, domain.Delete{Chat: "c", Actor: "own", MessageID: message(n)})
			return err
		},
		app.LimitRead: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "own", MessageID: message(n)})
			return err
		},
		app.LimitRecord: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.Record(ctx, domain.Record{Chat: "c", Actor: "own", Event: customEvent{domain.Custom{Type: "poll:voted", Version: 1, Data: fmt.Sprintf(`{"n":%d}`, n)}}})
			return err
		},
		app.LimitCreate: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.Create(ctx, domain.Create{Chat: domain.ChatID(fmt.Sprint("new", n)), Actor: "own"})
			return err
		},
		app.LimitAdd: func(ctx context.Context, c *app.Chats, n int) error {
			_, err := c.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: domain.UserID(fmt.Sprint("new", n))})
			return err
		},
	}
}

// customEvent is a custom event.
type customEvent struct{ event domain.Custom }

func (e customEvent) Custom() (domain.Custom, error) { return e.event, nil }

// limitedStage is a chat with three messages. The limits are those of the log, or lie elsewhere.
func limitedStage(t *testing.T, together bool, limits map[string]app.Limit, policy app.Policy) (*app.Chats, *memory.Log, *movable) {
	t.Helper()
	clock := &movable{}
	clock.at.Store(time.Now().UnixMilli())
	log := memory.New(wireformat.New(), clock, nil)
	open := func(policy app.Policy, limits *app.Limits) *app.Chats {
		return app.NewChats(log, entity.NewLoader(log, log, 1<<20), silent{}, log.Typing(), clock, ids{}, nil, policy, limits)
	}
	setup := open(app.Policy{}, nil)
	if _, err := setup.Create(t.Context(), domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := setup.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("a", n)), Content: "x"}); err != nil {
			t.Fatal(err)
		}
		if _, err := setup.Send(t.Context(), domain.Send{Chat: "c", Actor: "own", MessageID: domain.MessageID(fmt.Sprint("m", n)), Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	limiter := memory.NewLimiter(clock)
	if together {
		limiter = log.Limiter()
	}
	return open(policy, app.NewLimits(limiter, limits)), log, clock
}

func lastSeq(t *testing.T, log *memory.Log, chat domain.ChatID) domain.Seq {
	t.Helper()
	page, err := log.Read(t.Context(), chat, ports.Range{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return page.Head
}

// TestLimits_OfEachCommand lets a command twice in a window. The third call records nothing, and no other kind of command is limited.
func TestLimits_OfEachCommand(t *testing.T) {
	for _, together := range []bool{false, true} {
		for kind, call := range limitedCalls() {
			t.Run(fmt.Sprintf("%s/together=%v", kind, together), func(t *testing.T) {
				chats, log, clock := limitedStage(t, together, map[string]app.Limit{kind: {Rate: 2, Per: time.Minute}}, app.Policy{})
				for n := range 2 {
					if err := call(t.Context(), chats, n); err != nil {
						t.Fatalf("call %d: %v", n, err)
					}
				}
				before := lastSeq(t, log, "c")
				var limited *ports.LimitedError
				if err := call(t.Context(), chats, 2); !errors.As(err, &limited) || limited.Kind != kind || limited.RetryAfter <= 0 {
					t.Errorf("the third call: %v", err)
				}
				if after := lastSeq(t, log, "c"); after != before {
					t.Errorf("the third call moved the head from %d to %d", before, after)
				}
				if err := call(t.Context(), chats.Backdated(clock.Now()), 2); kind != app.LimitRead && err != nil {
					t.Errorf("an import: %v", err)
				}
				for other, call := range limitedCalls() {
					if err := call(t.Context(), chats, 1); other != kind && errors.Is(err, ports.ErrRateLimited) {
						t.Errorf("%s: %v", other, err)
					}
				}
			})
		}
	}
}

// TestLimits_CountEachCall has calls that change nothing, that are refused and that are given again count like others, and once.
func TestLimits_CountEachCall(t *testing.T) {
	for _, together := range []bool{false, true} {
		for what, c := range map[string]struct {
			kind string
			call func(ctx context.Context, chats *app.Chats) error
			want error
		}{
			"a reaction that is there": {app.LimitReact, func(ctx context.Context, c *app.Chats) error {
				_, err := c.React(ctx, domain.React{Chat: "c", Actor: "own", MessageID: "m0", Emoji: "👍"})
				return err
			}, nil},
			"no reaction to take back": {app.LimitReact, func(ctx context.Context, c *app.Chats) error {
				_, err := c.Unreact(ctx, domain.React{Chat: "c", Actor: "own", MessageID: "m0", Emoji: "👎"})
				return err
			}, nil},
			"an edit of someone else's": {app.LimitEdit, func(ctx context.Context, c *app.Chats) error {
				_, err := c.Edit(ctx, domain.Edit{Chat: "c", Actor: "ann", MessageID: "m0", Content: "y"})
				return err
			}, domain.ErrNotAuthor},
			"a read mark that is not new": {app.LimitRead, func(ctx context.Context, c *app.Chats) error {
				_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "own", MessageID: "m0"})
				return err
			}, nil},
			"a read mark before the first message": {app.LimitRead, func(ctx context.Context, c *app.Chats) error {
				_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "own", Seq: 1})
				return err
			}, nil},
			"a read mark beyond the chat's last seq": {app.LimitRead, func(ctx context.Context, c *app.Chats) error {
				_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "own", Seq: 1000})
				return err
			}, domain.ErrSeqRange},
			"a chat that exists": {app.LimitCreate, func(ctx context.Context, c *app.Chats) error {
				_, err := c.Create(ctx, domain.Create{Chat: "c", Actor: "own"})
				return err
			}, domain.ErrChatExists},
			"a command given again": {app.LimitDelete, func(ctx context.Context, c *app.Chats) error {
				_, err := c.Delete(ctx, domain.Delete{Chat: "c", Actor: "own", MessageID: "m0", Command: "d"})
				return err
			}, nil},
		} {
			chats, _, _ := limitedStage(t, together, map[string]app.Limit{c.kind: {Rate: 3, Per: time.Minute}}, app.Policy{})
			for n := range 3 {
				if err := c.call(t.Context(), chats); !errors.Is(err, c.want) {
					t.Errorf("together %v, %s, call %d: %v, want %v", together, what, n, err, c.want)
				}
			}
			if err := c.call(t.Context(), chats); !errors.Is(err, ports.ErrRateLimited) {
				t.Errorf("together %v, %s, the fourth call: %v", together, what, err)
			}
		}
	}
}

func TestServiceLimits(t *testing.T) {
	limits := app.ServiceLimits()
	if err := app.CheckLimits(limits); err != nil {
		t.Error(err)
	}
	for kind := range limitedCalls() {
		if _, there := limits[kind]; !there {
			t.Errorf("there is no limit for %s", kind)
		}
	}
	limits[app.LimitSend] = app.Limit{}
	if app.ServiceLimits()[app.LimitSend] == limits[app.LimitSend] {
		t.Error("a caller's change is everybody's")
	}
}

// TestLimits_OfEachChat limits the messages of a user in each chat by itself.
func TestLimits_OfEachChat(t *testing.T) {
	for _, together := range []bool{false, true} {
		chats, _, _ := limitedStage(t, together, map[string]app.Limit{app.LimitSendInChat: {Rate: 1, Per: time.Hour}}, app.Policy{})
		ctx := t.Context()
		if _, err := chats.Create(ctx, domain.Create{Chat: "d", Actor: "own", Members: []domain.UserID{"ann"}}); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			chat domain.ChatID
			by   domain.UserID
			want error
		}{{"c", "ann", nil}, {"d", "ann", nil}, {"c", "own", nil}, {"c", "ann", ports.ErrRateLimited}, {"d", "ann", ports.ErrRateLimited}} {
			if _, err := chats.Send(ctx, domain.Send{Chat: test.chat, Actor: test.by, Content: "x"}); !errors.Is(err, test.want) {
				t.Errorf("together %t: a message of %s in %s: %v, want %v", together, test.by, test.chat, err, test.want)
			}
		}
	}
}
