package app_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

func TestGate_IsAskedBeforeTheCommandDecides(t *testing.T) {
	var asked []app.GateQuestion
	var answer error
	gate := func(_ context.Context, q app.GateQuestion) error {
		asked = append(asked, q)
		return answer
	}
	chats, log, clock := limitedStage(t, true, nil, app.Policy{Gate: gate})
	calls := limitedCalls()
	calls[app.LimitCreate] = func(ctx context.Context, c *app.Chats, n int) error {
		_, err := c.Create(ctx, domain.Create{Chat: domain.ChatID(fmt.Sprint("new", n)), Actor: "own", Members: []domain.UserID{"ann", "bob"}})
		return err
	}
	calls[app.LimitSend] = func(ctx context.Context, c *app.Chats, _ int) error {
		_, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "own", Content: "x", Mentions: []domain.UserID{"ann"}})
		return err
	}
	questions := map[string]app.GateQuestion{
		app.LimitCreate: {Kind: app.GateCreate, Actor: "own", Chat: "new1", Targets: []domain.UserID{"ann", "bob"}},
		app.LimitAdd:    {Kind: app.GateAdd, Actor: "own", Chat: "c", Targets: []domain.UserID{"new1"}},
		app.LimitSend:   {Kind: app.GateSend, Actor: "own", Chat: "c", Targets: []domain.UserID{"ann"}},
		app.LimitRecord: {Kind: app.GateRecord, Actor: "own", Chat: "c"},
	}
	broken := errors.New("the directory is down")
	for kind, call := range calls {
		question, gated := questions[kind]
		before := lastSeq(t, log, "c")
		for _, answers := range []error{app.Refuse("too new"), fmt.Errorf("%w: by hand", domain.ErrRefused), broken} {
			asked, answer = nil, answers
			err := call(t.Context(), chats, 1)
			switch {
			case !gated:
				if len(asked) != 0 || errors.Is(err, domain.ErrRefused) || errors.Is(err, app.ErrGateFailed) {
					t.Errorf("%s asked %v: %v", kind, asked, err)
				}
				continue
			case len(asked) != 1 || !sameQuestion(asked[0], question):
				t.Errorf("%s asked %+v, want %+v", kind, asked, question)
			}
			var refusal *app.GateError
			var rule *domain.Refusal
			if errors.Is(answers, broken) {
				if !errors.Is(err, app.ErrGateFailed) || !errors.Is(err, broken) || errors.Is(err, domain.ErrRefused) || errors.As(err, &rule) {
					t.Errorf("%s with a broken gate: %v", kind, err)
				}
			} else if !errors.Is(err, domain.ErrRefused) || !errors.Is(err, answers) && !errors.As(answers, new(*app.GateError)) ||
				!errors.As(err, &refusal) || refusal.Reason == "" || !sameQuestion(refusal.Question, question) || !errors.As(err, &rule) || errors.Is(err, app.ErrGateFailed) {
				t.Errorf("%s that is refused: %v", kind, err)
			}
			if after := lastSeq(t, log, "c"); after != before {
				t.Errorf("%s recorded something", kind)
			}
		}
		asked, answer = nil, nil
		if err := call(t.Context(), chats, 1); gated && (err != nil || len(asked) != 1) {
			t.Errorf("%s that the gate lets: %v", kind, err)
		}
		asked, answer = nil, app.Refuse("no")
		if err := call(t.Context(), chats.Backdated(clock.Now()), 2); errors.Is(err, domain.ErrRefused) || len(asked) != 0 {
			t.Errorf("%s of an import: %v", kind, err)
		}
	}
}

func sameQuestion(a, b app.GateQuestion) bool {
	return a.Kind == b.Kind && a.Actor == b.Actor && a.Chat == b.Chat && slices.Equal(a.Targets, b.Targets)
}

// TestGate_RefusalsCount against the limit of the command, wherever that is kept.
func TestGate_RefusalsCount(t *testing.T) {
	for _, together := range []bool{false, true} {
		gate := func(context.Context, app.GateQuestion) error { return app.Refuse("no") }
		chats, _, _ := limitedStage(t, together, map[string]app.Limit{app.LimitSend: {Rate: 1, Per: time.Minute}}, app.Policy{Gate: gate})
		for _, want := range []error{domain.ErrRefused, ports.ErrRateLimited} {
			if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "own", Content: "x"}); !errors.Is(err, want) {
				t.Errorf("together %v: %v, want %v", together, err, want)
			}
		}
	}
}

// TestGate_Repetitions has a gate refuse calls that the log has already: they return the first result. It refuses what would change something.
func TestGate_Repetitions(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		allowed := process(log, clock{})
		refusing := app.NewChats(log, entity.NewLoader(log, log, 1<<20), silent{}, noTyping{}, clock{}, ids{}, nil, app.Policy{
			Gate: func(context.Context, app.GateQuestion) error { return app.Refuse("closed") },
		}, nil)
		ctx := t.Context()
		create := domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann"}, Command: "create"}
		send := domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}
		add := domain.AddMembers{Chat: "c", Actor: "own", Users: []domain.UserID{"bob"}, Command: "add"}
		created, err := allowed.Create(ctx, create)
		sent, sendErr := allowed.Send(ctx, send)
		added, addErr := allowed.AddMembers(ctx, add)
		if err := errors.Join(err, sendErr, addErr); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time with cached states
			if again, err := refusing.Create(ctx, create); err != nil || !again.Duplicate || again.Seq != created.Seq {
				t.Errorf("the creation again: %+v, error %v", again, err)
			}
			if again, err := refusing.Send(ctx, send); err != nil || !again.Duplicate || again.Seq != sent.Seq {
				t.Errorf("the send again: %+v, error %v", again, err)
			}
			if again, err := refusing.AddMembers(ctx, add); err != nil || !again.Duplicate || again.Seq != added.Seq || again.Users[0].Admission != domain.Admitted {
				t.Errorf("the addition again: %+v, error %v", again, err)
			}
			if _, err := refusing.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: "ann"}); err != nil {
				t.Errorf("a member already: %v", err)
			}
			if _, err := refusing.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "n", Content: "x"}); !errors.Is(err, domain.ErrRefused) {
				t.Errorf("another send: %v", err)
			}
			if _, err := refusing.Create(ctx, domain.Create{Chat: "d", Actor: "own"}); !errors.Is(err, domain.ErrRefused) {
				t.Errorf("another creation: %v", err)
			}
		}
	})
}
