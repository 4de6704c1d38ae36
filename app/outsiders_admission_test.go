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

// loadCounter is a log that counts its loads.
type loadCounter struct {
	*memory.Log

	loads int
}

func (l *loadCounter) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	l.loads++
	return l.Log.Load(ctx, chat, wants...)
}

// brokenLimiter cannot check a limit.
type brokenLimiter struct{}

func (brokenLimiter) Allow(context.Context, ports.Limit, int, ...string) (ports.Decision, error) {
	return ports.Decision{}, ports.ErrUnavailable
}

func (brokenLimiter) AllowAll(context.Context, ...ports.Take) ([]ports.Decision, error) {
	return nil, ports.ErrUnavailable
}

// limitEverything returns limits that let one call of each kind and subject pass, and fail closed.
func limitEverything() map[string]app.Limit {
	limits := app.ServiceLimits()
	for kind := range limits {
		limits[kind] = app.Limit{Rate: 1, Per: 24 * time.Hour, OnFailure: app.FailClosed}
	}
	return limits
}

// exhaust takes all that the limits allow a user in chat c.
func exhaust(t *testing.T, limits *app.Limits, user domain.UserID) {
	t.Helper()
	for kind := range limitEverything() {
		subject := []string{string(user)}
		if kind == app.LimitSendInChat {
			subject = append(subject, "c")
		}
		if _, err := limits.Allow(t.Context(), kind, subject...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutsiders_LimitsAndGate gives every command as outsiders beyond every limit, which the gate would refuse: a user that never was a member, and
// one whose membership this process has cached after it ended.
func TestOutsiders_LimitsAndGate(t *testing.T) {
	for _, limiter := range []string{"of the log", "elsewhere", "broken", "none"} {
		t.Run(limiter, func(t *testing.T) {
			log := memory.New(wireformat.New(), clock{}, nil)
			other := process(log, clock{})
			prepareOutsiders(t, other)
			var limits *app.Limits
			switch limiter {
			case "of the log":
				limits = app.NewLimits(log.Limiter(), limitEverything())
			case "elsewhere":
				limits = app.NewLimits(memory.NewLimiter(clock{}), limitEverything())
			case "broken":
				limits = app.NewLimits(brokenLimiter{}, limitEverything())
			}
			if limits != nil && limiter != "broken" {
				exhaust(t, limits, "eve")
				exhaust(t, limits, "bob")
			}
			var asked []app.GateQuestion
			gate := func(_ context.Context, q app.GateQuestion) error {
				asked = append(asked, q)
				return app.Refuse("no")
			}
			entities := entity.NewLoader(log, log, 1<<20)
			open := func(limits *app.Limits, policy app.Policy) *app.Chats {
				return app.NewChats(log, entities, silent{}, noTyping{}, clock{}, ids{}, nil, policy, limits)
			}
			free, limited := open(nil, app.Policy{}), open(limits, app.Policy{Gate: gate})
			for method, all := range outsiderTries() {
				for range 2 {
					checkOutsider(t, limited, "eve", method, all)
				}
			}
			if len(asked) > 0 {
				t.Errorf("the gate was asked about an outsider: %+v", asked)
			}
			for method, all := range outsiderTries() {
				for i, command := range all {
					staleMember(t, free, other)
					checkOutsider(t, limited, "bob", fmt.Sprintf("%s, cached, try %d", method, i), []try{command})
				}
			}
		})
	}
}

// staleMember has bob join and leave, while the first process goes on taking him for a member.
func staleMember(t *testing.T, cached, other *app.Chats) {
	t.Helper()
	if _, err := cached.Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "bob"}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Leave(t.Context(), domain.Leave{Chat: "c", Actor: "bob"}); err != nil {
		t.Fatal(err)
	}
}

// TestOutsiders_CountToo takes from the limits of outsiders, though they never see it.
func TestOutsiders_CountToo(t *testing.T) {
	for _, together := range []bool{false, true} {
		chats, log, _ := limitedStage(t, together, map[string]app.Limit{app.LimitSend: {Rate: 1, Per: time.Minute}}, app.Policy{})
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "eve", Content: "x"}); !errors.Is(err, domain.ErrNotMember) {
			t.Errorf("together %v: %v", together, err)
		}
		if _, err := process(log, clock{}).Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "eve"}); err != nil {
			t.Fatal(err)
		}
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "eve", Content: "x"}); !errors.Is(err, ports.ErrRateLimited) {
			t.Errorf("together %v, as a member: %v", together, err)
		}
	}
}

// TestGate_Loads has a gate and a limit cost no load where the membership is cached. A refusal on cached state reads the log once.
func TestGate_Loads(t *testing.T) {
	log := &loadCounter{Log: memory.New(wireformat.New(), clock{}, nil)}
	prepare(t, process(log.Log, clock{}), "c")
	var answer error
	gate := func(context.Context, app.GateQuestion) error { return answer }
	limits := app.NewLimits(log.Limiter(), map[string]app.Limit{app.LimitSend: {Rate: 3, Per: time.Hour}})
	c := app.NewChats(log, entity.NewLoader(log, log.Log, 1<<20), silent{}, noTyping{}, clock{}, ids{}, nil, app.Policy{Gate: gate}, limits)
	for i, step := range []struct {
		id           domain.MessageID
		answer, want error
		loads        int
	}{
		{"", nil, nil, 1}, // nothing is cached
		{"", nil, nil, 0},
		{"", app.Refuse("no"), domain.ErrRefused, 1},
		{"", nil, ports.ErrRateLimited, 0},   // the append has checked the membership
		{"m2", nil, ports.ErrRateLimited, 1}, // so has the load that found the message
	} {
		answer, log.loads = step.answer, 0
		if _, err := c.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: step.id, Content: "x"}); !errors.Is(err, step.want) {
			t.Errorf("send %d: %v, want %v", i, err, step.want)
		}
		if log.loads != step.loads {
			t.Errorf("send %d took %d loads, want %d", i, log.loads, step.loads)
		}
	}
}
