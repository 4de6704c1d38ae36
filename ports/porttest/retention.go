package porttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// RuledLog is a log with retention policies and legal holds.
type RuledLog interface {
	Log
	ports.Backlog
	ports.RetentionRules
}

// hold returns a hold on a subject.
func hold(subject domain.HoldSubject, id domain.HoldID) domain.Hold {
	return domain.Hold{HoldSubject: subject, ID: id, Reason: "a reason", By: bob, At: now().Truncate(time.Millisecond)}
}

// ruledLog is a log with its number of partitions.
type ruledLog struct {
	RuledLog
	partitions int
}

// RetentionRules tests policies and holds. open returns a new log for every subtest, with the given number of partitions.
func RetentionRules(t *testing.T, partitions int, open func(t *testing.T) RuledLog) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, log ruledLog)
	}{
		{"holds", testHolds},
		{"holds that cannot be set", testInvalidHolds},
		{"concurrent holds", testConcurrentHolds},
		{"holds stop erasures", testHeldErasures},
		{"a hold is set while others erase", testHoldRace},
		{"holds stop erasures of content", testHeldContent},
		{"policies", testPolicies},
		{"concurrent policies", testConcurrentPolicies},
		{"expiries", testExpiries},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, ruledLog{open(t), partitions}) })
	}
}

// heldSubjects returns subjects of each kind, with ids that look like each other.
func heldSubjects() []domain.HoldSubject {
	return []domain.HoldSubject{{}, {Chat: "x"}, {User: "x"}, {Chat: "cx"}, {User: "ux"}, {Chat: "odd{id}*"}}
}

// rulesOf returns the rules of all partitions, with holds in the order of their subjects and ids, each once.
func rulesOf(ctx context.Context, t *testing.T, log ruledLog) (log0 domain.RetentionPolicy, chats map[domain.ChatID]domain.RetentionPolicy, holds []domain.Hold) {
	t.Helper()
	chats = make(map[domain.ChatID]domain.RetentionPolicy)
	for p := range log.partitions {
		rules, err := log.Rules(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		log0 = rules.Log
		for chat, policy := range rules.Chats {
			chats[chat] = policy
		}
		holds = append(holds, rules.Holds...)
	}
	slices.SortFunc(holds, func(a, b domain.Hold) int {
		return strings.Compare(a.String()+" "+string(a.ID), b.String()+" "+string(b.ID))
	})
	return log0, chats, slices.Compact(holds)
}

func testHolds(t *testing.T, log ruledLog) {
	ctx := t.Context()
	var want []domain.Hold
	for _, subject := range heldSubjects() {
		for _, id := range []domain.HoldID{"case-1", "case/2"} {
			h := hold(subject, id)
			for range 2 { // also given again
				if err := log.AddHold(ctx, h); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, h)
			other := h
			if other.Reason = "another"; !errors.Is(log.AddHold(ctx, other), domain.ErrHoldExists) {
				t.Errorf("%s takes another hold %s", subject, id)
			}
			later := h
			later.At = h.At.Add(time.Hour)
			if err := log.AddHold(ctx, later); err != nil {
				t.Error(err)
			}
		}
	}
	check := func() {
		t.Helper()
		slices.SortFunc(want, func(a, b domain.Hold) int {
			return strings.Compare(a.String()+" "+string(a.ID), b.String()+" "+string(b.ID))
		})
		_, _, got := rulesOf(ctx, t, log)
		if len(got) != len(want) {
			t.Fatalf("the holds are %+v, want %+v", got, want)
		}
		for i := range want {
			if at := want[i].At; !got[i].At.Equal(at) {
				t.Errorf("%s has the time %s, want %s", got[i].ID, got[i].At, at)
			}
			if got[i].At = want[i].At; got[i] != want[i] {
				t.Errorf("a hold is %+v, want %+v", got[i], want[i])
			}
		}
		for _, chat := range []domain.ChatID{"x", "cx", "odd{id}*", "other"} {
			asked := []domain.HoldSubject{{}, {Chat: chat}, {User: "x"}, {User: "ux"}, {User: "other"}}
			held, err := log.Held(ctx, chat, asked...)
			if err != nil || len(held) != len(asked) {
				t.Fatal(held, err)
			}
			for i, subject := range asked {
				if is := slices.ContainsFunc(want, func(h domain.Hold) bool { return h.HoldSubject == subject }); held[i] != is {
					t.Errorf("%s is held: %t, want %t", subject, held[i], is)
				}
			}
		}
	}
	check()
	for len(want) > 0 {
		h := want[len(want)/2]
		if err := log.RemoveHold(ctx, h.HoldSubject, "case-3"); !errors.Is(err, domain.ErrHoldNotFound) {
			t.Errorf("the removal of a hold that is not there: %v", err)
		}
		if err := log.RemoveHold(ctx, h.HoldSubject, h.ID); err != nil {
			t.Error(err)
		}
		if err := log.RemoveHold(ctx, h.HoldSubject, h.ID); !errors.Is(err, domain.ErrHoldNotFound) {
			t.Errorf("the second removal: %v", err)
		}
		want = slices.Delete(want, len(want)/2, len(want)/2+1)
		check()
	}
}

func testInvalidHolds(t *testing.T, log ruledLog) {
	valid := hold(domain.HoldSubject{Chat: "c"}, "case")
	for i, change := range []func(h *domain.Hold){
		func(h *domain.Hold) { h.User = "u" },
		func(h *domain.Hold) { h.Chat = "a b" },
		func(h *domain.Hold) { h.Chat, h.User = "", "a b" },
		func(h *domain.Hold) { h.ID = "" },
		func(h *domain.Hold) { h.Reason = "" },
		func(h *domain.Hold) { h.Reason = "\x00" },
		func(h *domain.Hold) { h.By = "" },
	} {
		h := valid
		if change(&h); !errors.Is(log.AddHold(t.Context(), h), domain.ErrInvalid) {
			t.Errorf("hold %d is accepted", i)
		}
	}
	for i := range domain.MaxHolds {
		if err := log.AddHold(t.Context(), hold(valid.HoldSubject, domain.HoldID(fmt.Sprint("case", i)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.AddHold(t.Context(), valid); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("one hold too many: %v", err)
	}
	both := domain.HoldSubject{Chat: "c", User: "u"}
	if err := log.RemoveHold(t.Context(), both, "case"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("the removal of an invalid subject: %v", err)
	}
}

// testConcurrentHolds adds holds to one subject at once: none is lost.
func testConcurrentHolds(t *testing.T, log ruledLog) {
	var running sync.WaitGroup
	for i := range 16 {
		running.Go(func() {
			if err := log.AddHold(t.Context(), hold(domain.HoldSubject{}, domain.HoldID(fmt.Sprint("case", i)))); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for p := range log.partitions {
		if rules, err := log.Rules(t.Context(), p); err != nil || len(rules.Holds) != 16 {
			t.Errorf("partition %d has %d holds, %v", p, len(rules.Holds), err)
		}
	}
}

// testHeldErasures erases messages under holds of the log, of their chat and of their sender. Nothing changes until the hold is removed.
func testHeldErasures(t *testing.T, log ruledLog) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob), sent(c, "m", ann), edited(c, "m", bob), sent(c, "of-bob", bob)))
	for _, subject := range []domain.HoldSubject{{}, {Chat: c}, {User: ann}} {
		if err := log.AddHold(t.Context(), hold(subject, "case")); err != nil {
			t.Fatal(err)
		}
		e := h.history(c).erasing(c, "m", bob, nil)
		_, err := log.Erase(t.Context(), e)
		var held *domain.LegalHoldError
		if !errors.As(err, &held) || held.HoldSubject != subject || !errors.Is(err, domain.ErrLegalHold) {
			t.Errorf("under the hold of %s the erasure gives %v", subject, err)
		}
		h.verify()
		h.append(then(edited(c, "m", ann), deleted(c, "of-bob", bob))) // a deletion erases nothing
		if err := log.RemoveHold(t.Context(), subject, "case"); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []domain.HoldSubject{{Chat: NewChatID()}, {User: bob}} {
		if err := log.AddHold(t.Context(), hold(subject, "case")); err != nil {
			t.Fatal(err)
		}
	}
	h.erase(h.history(c).erasing(c, "m", ann, nil))
	h.verify()
}

// testHoldRace sets a hold while messages are erased: every erasure that is begun afterwards fails, and each event is erased as the results say.
func testHoldRace(t *testing.T, log ruledLog) {
	h, c := newHarness(t, log), NewChatID()
	const messages = 64
	events := []ports.NewEvent{created(c)}
	for i := range messages {
		events = append(events, sent(c, domain.MessageID(fmt.Sprint("m", i)), ann))
	}
	h.append(then(events...))
	var erasures []ports.Erasure
	for i := range messages {
		erasures = append(erasures, h.history(c).erasing(c, domain.MessageID(fmt.Sprint("m", i)), bob, nil))
	}
	set, done := make(chan struct{}), make(map[domain.MessageID]bool)
	var mu sync.Mutex
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for i := worker; i < messages; i += 4 {
				after := false
				select {
				case <-set:
					after = true
				default:
				}
				_, err := log.Erase(t.Context(), erasures[i])
				if err != nil && !errors.Is(err, domain.ErrLegalHold) || err == nil && after {
					t.Errorf("an erasure, begun after the hold: %t, gives %v", after, err)
				}
				mu.Lock()
				done[erasures[i].Message] = err == nil
				mu.Unlock()
			}
		})
	}
	if err := log.AddHold(t.Context(), hold(domain.HoldSubject{Chat: c}, "case")); err != nil {
		t.Error(err)
	}
	close(set)
	running.Wait()
	page, err := log.Search(t.Context(), c, ports.Filter{Messages: true}, ports.Range{Limit: messages})
	if err != nil || len(page.Records) != messages {
		t.Fatal(len(page.Records), err)
	}
	for _, r := range page.Records {
		if sent, _ := r.Event.(domain.MessageNew); sent.Erased != done[sent.Message] {
			t.Errorf("message %s is erased: %t, but its erasure said %t", sent.Message, sent.Erased, done[sent.Message])
		}
	}
}

func testPolicies(t *testing.T, log ruledLog) {
	ctx, at := t.Context(), now().Truncate(time.Millisecond)
	policies := map[domain.ChatID]domain.RetentionPolicy{
		"":  {Retention: domain.Retention{MaxAge: 90 * time.Second, MaxMessages: 7}, SetAt: at, SetBy: ann},
		"x": {Inherits: true, Before: domain.Retention{MaxMessages: 3}, From: at.Add(time.Hour), SetAt: at, SetBy: bob},
		"y": {SetAt: at, SetBy: bob},
	}
	for _, chat := range []domain.ChatID{"x", "", "y"} {
		policy := policies[chat]
		of, _, err := log.Policies(ctx, chat)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []domain.RetentionPolicy{{}, policy} {
			if err := log.SetPolicy(ctx, chat, func(log, present domain.RetentionPolicy) (domain.RetentionPolicy, error) {
				if !samePolicy(present, want) {
					t.Errorf("the policy of %q is %+v, want %+v", chat, present, want)
				}
				if chat != "" && log != of {
					t.Errorf("the policy of the log is %+v, want %+v", log, of)
				}
				return policy, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, own, err := log.Policies(ctx, chat); err != nil || !samePolicy(own, policy) {
			t.Errorf("the policy of %q is %+v, %v, want %+v", chat, own, err, policy)
		}
	}
	refused := errors.New("refused")
	if err := log.SetPolicy(ctx, "x", func(_, _ domain.RetentionPolicy) (domain.RetentionPolicy, error) {
		return domain.RetentionPolicy{}, refused
	}); !errors.Is(err, refused) {
		t.Errorf("the error of the change is %v", err)
	}
	for p := range log.partitions {
		if rules, err := log.Rules(ctx, p); err != nil || !samePolicy(rules.Log, policies[""]) {
			t.Errorf("partition %d has the policy %+v of the log, %v", p, rules.Log, err)
		}
	}
	_, chats, _ := rulesOf(t.Context(), t, log)
	if len(chats) != 2 || !samePolicy(chats["x"], policies["x"]) || !samePolicy(chats["y"], policies["y"]) {
		t.Errorf("the policies are %+v", chats)
	}
	for chat := range policies {
		if err := log.SetPolicy(ctx, chat, func(_, _ domain.RetentionPolicy) (domain.RetentionPolicy, error) {
			return domain.RetentionPolicy{}, nil
		}); err != nil {
			t.Error(err)
		}
	}
	if of, chats, _ := rulesOf(t.Context(), t, log); len(chats) != 0 || of != (domain.RetentionPolicy{}) {
		t.Errorf("after their removal there are %+v and %+v", of, chats)
	}
	if err := log.SetPolicy(ctx, "a b", nil); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("the policy of an invalid chat: %v", err)
	}
}

func samePolicy(a, b domain.RetentionPolicy) bool {
	same := a.From.Equal(b.From) && a.SetAt.Equal(b.SetAt)
	a.From, a.SetAt = b.From, b.SetAt
	return same && a == b
}

// testConcurrentPolicies changes a policy at once: each change sees those before it.
func testConcurrentPolicies(t *testing.T, log ruledLog) {
	var running sync.WaitGroup
	for i := range 16 {
		running.Go(func() {
			if err := log.SetPolicy(t.Context(), "x", func(_, p domain.RetentionPolicy) (domain.RetentionPolicy, error) {
				p.MaxMessages, p.SetAt, p.SetBy = p.MaxMessages+1, now(), domain.UserID(fmt.Sprint("user", i))
				return p, nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if _, chats, _ := rulesOf(t.Context(), t, log); chats["x"].MaxMessages != 16 {
		t.Errorf("after 16 changes the policy is %+v", chats["x"])
	}
}

func testExpiries(t *testing.T, log ruledLog) {
	ctx, first, second := t.Context(), ports.Expiry{Next: 7, At: 1700000000000, Ordinal: 3, Until: 9}, ports.Expiry{Next: 1 << 40}
	if err := errors.Join(log.SaveExpiry(ctx, 0, ports.ExpiryOfLog, "x", first), log.SaveExpiry(ctx, 0, ports.ExpiryOfVault, "x", second), log.SaveExpiry(ctx, 0, ports.ExpiryOfLog, "y", second), log.SaveExpiry(ctx, 0, ports.ExpiryOfThreads, "z", first)); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[ports.ExpiryPlace][]ports.Expiry{ports.ExpiryOfLog: {first, {}, second}, ports.ExpiryOfVault: {second, {}, {}}, ports.ExpiryOfThreads: {{}, first, {}}} {
		if got, err := log.Expiries(ctx, 0, place, []domain.ChatID{"x", "z", "y"}); err != nil || !slices.Equal(got, want) {
			t.Errorf("of place %d there are %+v, %v, want %+v", place, got, err, want)
		}
	}
	if none, err := log.Expiries(ctx, 0, ports.ExpiryOfLog, nil); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}
