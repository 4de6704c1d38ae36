package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// unasked is a limiter that cannot be asked.
type unasked struct{ err error }

func (b unasked) Allow(context.Context, ports.Limit, int, ...string) (ports.Decision, error) {
	return ports.Decision{}, b.err
}

func TestASendBeyondItsLimitRecordsNothing(t *testing.T) {
	s, chats, _ := newStage(t, app.Policy{}, map[string]app.Limit{
		app.LimitSend: {Rate: 3, Per: time.Minute}, app.LimitSendInChat: {Algorithm: ports.GCRA, Rate: 60, Per: time.Minute, Burst: 2},
	})
	send := func(id domain.MessageID, want error, retry time.Duration) {
		t.Helper()
		_, err := chats.Send(t.Context(), app.Send{Chat: "c", By: "ann", MessageID: id, Content: "x"})
		var limited *ports.LimitedError
		if !errors.Is(err, want) || want != nil && (!errors.As(err, &limited) || limited.RetryAfter != retry) {
			t.Fatalf("%s: %v, want %v and %v", id, err, want, retry)
		}
	}
	head := func(want domain.Seq) {
		t.Helper()
		if page, err := s.Read(t.Context(), "c", ports.Range{From: 1, Limit: 100}); err != nil || page.Head != want {
			t.Fatalf("the head is %d, error %v, want %d", page.Head, err, want)
		}
	}
	before, err := s.Read(t.Context(), "c", ports.Range{From: 1, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	send("m1", nil, 0)
	send("m1", nil, 0) // counts again
	send("m2", ports.ErrRateLimited, time.Second)
	head(before.Head + 1)
	s.clock.forward(time.Second)
	send("m2", ports.ErrRateLimited, 59*time.Second) // the user's own limit
	send("m1", ports.ErrRateLimited, 59*time.Second) // was recorded, and still is
	if _, err := chats.Send(t.Context(), app.Send{Chat: "c", By: "bob", Content: "x"}); err != nil {
		t.Errorf("someone else: %v", err)
	}
	head(before.Head + 2)
	if _, err := chats.Backdated(s.clock.Now()).Send(t.Context(), app.Send{Chat: "c", By: "ann", MessageID: "m3", Content: "x"}); err != nil {
		t.Errorf("an import: %v", err)
	}
	s.clock.forward(time.Minute)
	send("m2", nil, 0)
	head(before.Head + 4)
}

func TestStartsOfTypingAreLimitedAcrossChats(t *testing.T) {
	s, chats, _ := newStage(t, app.Policy{}, map[string]app.Limit{app.LimitTyping: {Rate: 2, Per: time.Minute}})
	for _, chat := range []domain.ChatID{"nowhere", "elsewhere"} {
		if _, err := chats.StartTyping(t.Context(), app.Typing{Chat: chat, By: "ann"}); !errors.Is(err, domain.ErrChatNotFound) {
			t.Fatalf("%s: %v", chat, err)
		}
	}
	s.loads.Store(0)
	for range 3 {
		if told, err := chats.StartTyping(t.Context(), app.Typing{Chat: "c", By: "ann"}); told || !errors.Is(err, ports.ErrRateLimited) {
			t.Errorf("told %v, error %v", told, err)
		}
	}
	s.cost(t, "starts beyond the limit", 0, 0, 0)
	if told, err := chats.StartTyping(t.Context(), app.Typing{Chat: "c", By: "bob"}); !told || err != nil {
		t.Errorf("someone else: told %v, error %v", told, err)
	}
}

// TestALimitThatCannotBeChecked is open or closed by kind, and neither for bad input and for callers that are gone.
func TestALimitThatCannotBeChecked(t *testing.T) {
	one := func(f app.Failure) app.Limit { return app.Limit{Rate: 1, Per: time.Minute, OnFailure: f} }
	kinds := map[string]app.Limit{
		app.LimitSend: one(app.FailByKind), "own": one(app.FailByKind), app.LimitLogin: one(app.FailByKind),
		"safe": one(app.FailClosed), "": one(app.FailOpen),
	}
	foreign := &ports.ForeignValueError{Key: "k", Holds: "x", For: "y"}
	for _, cause := range []error{ports.ErrUnavailable, foreign} {
		l := app.NewLimits(unasked{cause}, kinds)
		for kind, open := range map[string]bool{app.LimitSend: true, "own": true, app.LimitLogin: false, "safe": false, "": true} {
			d, err := l.Allow(t.Context(), kind, "ada")
			if d.Allowed != open || open && err != nil || !open && !errors.Is(err, cause) || errors.Is(err, ports.ErrRateLimited) {
				t.Errorf("%q with %v: %+v, error %v", kind, cause, d, err)
			}
		}
		if s := l.Stats(); s.Unchecked != 3 || s.Refused != 0 {
			t.Errorf("counted %+v", s)
		}
	}
	l := app.NewLimits(unasked{&domain.InvalidError{}}, kinds)
	if d, err := l.Allow(t.Context(), "own", "ada"); d.Allowed || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("bad input: %+v, error %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l = app.NewLimits(unasked{ctx.Err()}, kinds)
	if d, err := l.Allow(ctx, "own", "ada"); d.Allowed || !errors.Is(err, context.Canceled) || l.Stats().Unchecked != 0 {
		t.Errorf("a caller that is gone: %+v, error %v", d, err)
	}
	s, _, _ := newStage(t, app.Policy{}, nil)
	chats := app.NewChats(s, app.NewEntities(s, s, 0), s, s, s.clock, ids{}, nil, app.Policy{}, app.NewLimits(unasked{foreign}, kinds))
	if _, err := chats.Send(t.Context(), app.Send{Chat: "c", By: "ann", Content: "x"}); err != nil {
		t.Errorf("a send whose limit fails open: %v", err)
	}
}

func TestLimitsOfATeamsOwn(t *testing.T) {
	s, _, _ := newStage(t, app.Policy{}, nil)
	l := app.NewLimits(s.limiter, map[string]app.Limit{"upload": {Rate: 10, Per: time.Hour}, "": {Rate: 1, Per: time.Hour}})
	if d, err := l.AllowN(t.Context(), "upload", 8, "ada", "c"); err != nil || d.Remaining != 2 {
		t.Errorf("%+v, error %v", d, err)
	}
	d, err := l.AllowN(t.Context(), "upload", 3, "ada", "c")
	var limited *ports.LimitedError
	if d.Allowed || d.Remaining != 2 || !errors.As(err, &limited) || limited.Kind != "upload" || limited.RetryAfter != time.Hour {
		t.Errorf("%+v, error %v", d, err)
	}
	if d, err := l.AllowN(t.Context(), "upload", 0, "ada", "c"); err != nil || d.Remaining != 2 || l.Stats().Refused != 1 {
		t.Errorf("a look: %+v, error %v, %+v", d, err, l.Stats())
	}
	if d, err := l.Allow(t.Context(), "", "upload"); err != nil || !d.Allowed {
		t.Errorf("%+v, error %v", d, err)
	}
	for what, call := range map[string]func() (ports.Decision, error){
		"a kind without a limit": func() (ports.Decision, error) { return l.Allow(t.Context(), "uplaod", "ada") },
		"no subject":             func() (ports.Decision, error) { return l.Allow(t.Context(), "upload") },
		"an empty subject":       func() (ports.Decision, error) { return l.Allow(t.Context(), "upload", "") },
		"too many at once":       func() (ports.Decision, error) { return l.AllowN(t.Context(), "upload", 11, "ada") },
		"fewer than none":        func() (ports.Decision, error) { return l.AllowN(t.Context(), "upload", -1, "ada") },
	} {
		if d, err := call(); d.Allowed || !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %+v, error %v", what, d, err)
		}
	}
}

func TestLimitsThatCannotBe(t *testing.T) {
	good := app.Limit{Rate: 1, Per: time.Second}
	if err := app.CheckLimits(map[string]app.Limit{"a": good, app.LimitLogin: {Algorithm: ports.GCRA, Rate: 5, Per: time.Minute, Burst: 2, OnFailure: app.FailOpen}}); err != nil {
		t.Error(err)
	}
	err := app.CheckLimits(map[string]app.Limit{"none": {}, "who knows": {Rate: 1, Per: time.Second, OnFailure: 9}, string(make([]byte, 300)): good, "good": good})
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) || len(all.Unwrap()) != 3 || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
