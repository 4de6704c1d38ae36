package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// unasked is a limiter that cannot be asked.
type unasked struct{ err error }

func (b unasked) Allow(context.Context, ports.Limit, int, ...string) (ports.Decision, error) {
	return ports.Decision{}, b.err
}

func (b unasked) AllowAll(context.Context, ...ports.Take) ([]ports.Decision, error) {
	return nil, b.err
}

func TestASendBeyondItsLimitRecordsNothing(t *testing.T) {
	s, chats, _ := newStage(t, app.Policy{}, map[string]app.Limit{
		app.LimitSend: {Rate: 3, Per: time.Minute}, app.LimitSendInChat: {Algorithm: ports.GCRA, Rate: 60, Per: time.Minute, Burst: 2},
	})
	send := func(id domain.MessageID, want error, retry time.Duration) {
		t.Helper()
		_, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: id, Content: "x"})
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
	send("m2", nil, 0)                               // a send that the chat's limit refused takes none of the user's
	send("m2", ports.ErrRateLimited, 59*time.Second) // the user's own limit; it was recorded, and still is
	if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "bob", Content: "x"}); err != nil {
		t.Errorf("someone else: %v", err)
	}
	head(before.Head + 3)
	if _, err := chats.Backdated(s.clock.Now()).Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m3", Content: "x"}); err != nil {
		t.Errorf("an import: %v", err)
	}
	s.clock.forward(time.Minute)
	send("m4", nil, 0)
	head(before.Head + 5)
}

func TestStartsOfTypingAreLimitedAcrossChats(t *testing.T) {
	s, chats, _ := newStage(t, app.Policy{}, map[string]app.Limit{app.LimitTyping: {Rate: 2, Per: time.Minute}})
	for _, chat := range []domain.ChatID{"nowhere", "elsewhere"} {
		if _, err := chats.StartTyping(t.Context(), domain.Typing{Chat: chat, Actor: "ann"}); !errors.Is(err, domain.ErrChatNotFound) {
			t.Fatalf("%s: %v", chat, err)
		}
	}
	s.loads.Store(0)
	for range 3 {
		if published, err := chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "ann"}); published || !errors.Is(err, ports.ErrRateLimited) {
			t.Errorf("told %v, error %v", published, err)
		}
	}
	s.cost(t, "starts beyond the limit", 1, 0, 0) // of the membership: outsiders must not learn of the limit
	if published, err := chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "bob"}); !published || err != nil {
		t.Errorf("someone else: told %v, error %v", published, err)
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
	chats := app.NewChats(s, entity.NewLoader(s, s, 0), s, s, s.clock, ids{}, nil, app.Policy{}, app.NewLimits(unasked{foreign}, kinds))
	if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x"}); err != nil {
		t.Errorf("a send whose limit fails open: %v", err)
	}
}

// apart has limits that cannot be asked together, and one that cannot be asked at all.
type apart struct {
	ports.Limiter
	together error
	broken   string
}

func (a apart) AllowAll(context.Context, ...ports.Take) ([]ports.Decision, error) {
	return nil, a.together
}

func (a apart) Allow(ctx context.Context, limit ports.Limit, n int, name ...string) (ports.Decision, error) {
	if name[0] == a.broken {
		return ports.Decision{}, ports.ErrForeignValue
	}
	return a.Limiter.Allow(ctx, limit, n, name...)
}

// TestLimitsThatCannotBeTakenTogether fails each in its own way where one of them is broken, and where Redis is gone if any of them is closed.
func TestLimitsThatCannotBeTakenTogether(t *testing.T) {
	for what, c := range map[string]struct {
		together       error
		broken         string
		user, chat     app.Failure
		want           error
		sends, refused uint64
	}{
		"an open one is broken":       {ports.ErrForeignValue, app.LimitSend, app.FailOpen, app.FailClosed, ports.ErrRateLimited, 2, 1},
		"a closed one is broken":      {ports.ErrForeignValue, app.LimitSendInChat, app.FailOpen, app.FailClosed, ports.ErrForeignValue, 0, 0},
		"no Redis, both open":         {ports.ErrUnavailable, "", app.FailByKind, app.FailOpen, nil, 3, 0},
		"no Redis, the second closed": {ports.ErrUnavailable, "", app.FailOpen, app.FailClosed, ports.ErrUnavailable, 0, 0},
	} {
		s, _, _ := newStage(t, app.Policy{}, nil)
		l := app.NewLimits(apart{s.limiter, c.together, c.broken}, map[string]app.Limit{
			app.LimitSend: {Rate: 1, Per: time.Minute, OnFailure: c.user}, app.LimitSendInChat: {Rate: 2, Per: time.Minute, OnFailure: c.chat},
		})
		chats := app.NewChats(s, entity.NewLoader(s, s, 0), s, s, s.clock, ids{}, nil, app.Policy{}, l)
		var err error
		sends := uint64(0)
		for range 3 {
			if _, err = chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x"}); err == nil {
				sends++
			}
		}
		if !errors.Is(err, c.want) || sends != c.sends || l.Stats().Refused != c.refused {
			t.Errorf("%s: %d sends, then %v, counted %+v", what, sends, err, l.Stats())
		}
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

// TestLimits_NamesTheKinds returns the kinds that there are for one that there is not.
func TestLimits_NamesTheKinds(t *testing.T) {
	s, _, _ := newStage(t, app.Policy{}, nil)
	some := map[string]app.Limit{"upload": {Rate: 1, Per: time.Hour}, "call": {Rate: 1, Per: time.Hour}}
	for allowed, kinds := range map[string]map[string]app.Limit{"those that have one: call, upload": some, "none: the configuration sets no limits": nil} {
		_, err := app.NewLimits(s.limiter, kinds).Allow(t.Context(), "uplaod", "ada")
		var invalid *domain.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "kind" || invalid.Allowed != allowed {
			t.Errorf("%v, want %q", err, allowed)
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
