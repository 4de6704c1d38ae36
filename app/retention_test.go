package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// ruledLog is a log on which retention works.
type ruledLog interface {
	sharedLog
	ports.MessageCounter
	ports.Backlog
	ports.RetentionRules
	ports.ChatIndex
}

// moved is a clock that a test moves. Sleep moves it too, unless it is still.
type moved struct {
	now   time.Time
	still bool
}

func (m *moved) Now() time.Time { return m.now }

func (m *moved) Sleep(ctx context.Context, until time.Time) error {
	if until.After(m.now) && !m.still {
		m.now = until
	}
	return ctx.Err()
}

// keeper is a process with retention.
type keeper struct {
	*app.Retention
	chats  *app.Chats
	log    ruledLog
	clock  *moved
	erased func() error // called before each erasure; an error is that of the erasure
	files  []domain.Attachment

	partitions int // of the log
}

func newKeeper(log ruledLog, policy domain.Retention) *keeper {
	k := &keeper{log: log, clock: &moved{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, erased: func() error { return nil }, partitions: 4}
	if _, one := log.(*memory.Log); one {
		k.partitions = 1
	}
	k.chats = process(log, k.clock)
	k.Retention = app.NewRetention(app.RetentionConfig{
		Rules: log, Log: log, Backlog: log, Partitions: k.partitions, Policy: policy, Rate: 1000, Clock: k.clock, Logger: slog.New(slog.DiscardHandler),
		Erase: func(ctx context.Context, cmd domain.Erase) (app.Erased, error) {
			if err := k.erased(); err != nil {
				return app.Erased{}, err
			}
			return k.chats.Erase(ctx, cmd)
		},
		Files: func(_ context.Context, _ domain.ChatID, _ domain.MessageID, files []domain.Attachment) {
			k.files = append(k.files, files...)
		},
	})
	return k
}

// onEachRuledLog runs a test on a log in memory and on one in Redis.
func onEachRuledLog(t *testing.T, test func(t *testing.T, log ruledLog)) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log, ok := open().(ruledLog)
		if !ok {
			t.Fatal("the log has no rules")
		}
		test(t, log)
	})
}

// send sends messages to a chat, which it creates, a minute apart.
func (k *keeper) send(t *testing.T, chat domain.ChatID, n int) {
	t.Helper()
	_, err := k.chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"ben"}})
	for i := 0; i < n && err == nil; i++ {
		_, err = k.chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: "content"})
		k.clock.now = k.clock.now.Add(time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// failer is a test, also one of rapid.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// kept returns the ids of the messages of a chat that are not erased. It checks that all seqs and members are there.
func (k *keeper) kept(ctx context.Context, t failer, chat domain.ChatID) (ids []domain.MessageID) {
	t.Helper()
	for r := (ports.Range{From: 1, Limit: 100}); ; {
		page, err := k.log.Read(ctx, chat, r)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for i, record := range page.Records {
			if record.Seq != r.From+domain.Seq(i) { //nolint:gosec // an index
				t.Fatalf("chat %s has seq %d behind %d", chat, record.Seq, r.From)
			}
			if sent, ok := record.Event.(domain.MessageNew); ok && !sent.Erased {
				ids = append(ids, sent.Message)
			}
		}
		if len(page.Records) == 0 {
			return ids
		}
		r.From += domain.Seq(len(page.Records)) //nolint:gosec // a length
	}
}

// TestRetention_Count keeps the newest messages, in pages, without an end before the last one. An erased message keeps its seq, its id and its tombstone.
func TestRetention_Count(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{MaxMessages: 3})
		const messages = 150 // more than two pages
		k.send(t, "c", messages)
		k.send(t, "few", 3)
		if err := k.Declare(ctx); err != nil {
			t.Fatal(err)
		}
		if done, err := k.ExpireAll(ctx); err != nil || done != (app.Expiration{}) {
			t.Errorf("during the grace: %+v, %v", done, err)
		}
		k.clock.now = k.clock.now.Add(domain.RetentionGrace)
		if status, err := k.Status(ctx, true); err != nil || len(status) != 1 || status[0].Due != messages-3 || status[0].Applied.MaxMessages != 3 {
			t.Errorf("the status is %+v, %v", status, err)
		}
		began := k.clock.now
		if done, err := k.ExpireAll(ctx); err != nil || done != (app.Expiration{Chats: 1, Erased: messages - 3}) {
			t.Errorf("after the grace: %+v, %v", done, err)
		}
		if took := k.clock.now.Sub(began); took < (messages-3)*time.Second/1000 {
			t.Errorf("%d erasures took %s at a rate of 1000/s", messages-3, took)
		}
		if kept := k.kept(ctx, t, "c"); !slices.Equal(kept, []domain.MessageID{"m147", "m148", "m149"}) {
			t.Errorf("the chat has %v", kept)
		}
		head := headOf(ctx, t, log, "c")
		sent, err := k.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "m0", Content: "again"})
		if want := (app.Sent{MessageID: "m0", Seq: 3, Duplicate: true}); err != nil || sent != want || headOf(ctx, t, log, "c") != head {
			t.Errorf("sent again: %+v, %v, want %+v", sent, err, want)
		}
		if err := retentionOf(ctx, k); err != nil {
			t.Error(err)
		}
		if kept := k.kept(ctx, t, "few"); len(kept) != 3 {
			t.Errorf("the other chat has %v", kept)
		}
	})
}

// retentionOf passes once more and returns an error if anything is erased.
func retentionOf(ctx context.Context, k *keeper) error {
	done, err := k.ExpireAll(ctx)
	if err == nil && done.Erased > 0 {
		err = fmt.Errorf("a further pass erases %d messages", done.Erased)
	}
	return err
}

// TestRetention_Age erases by the times of events. A message with a time in the future is passed over, and erased later.
func TestRetention_Age(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{})
		began := k.clock.now
		k.send(t, "c", 2)
		k.clock.now = began.Add(240 * time.Hour)
		if _, err := k.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "future", Content: "x"}); err != nil {
			t.Fatal(err)
		}
		k.clock.now = began.Add(time.Hour)
		if _, err := k.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ben", MessageID: "hour", Content: "x", Attachments: []domain.Attachment{{Name: "a", URL: "https://example.org/a"}}}); err != nil {
			t.Fatal(err)
		}
		policy, err := k.SetPolicy(ctx, "c", domain.Retention{MaxAge: 24 * time.Hour}, "ops")
		if err != nil || !policy.From.Equal(k.clock.now.Add(domain.RetentionGrace)) {
			t.Fatalf("the policy is %+v, %v", policy, err)
		}
		for _, step := range []struct {
			after time.Duration
			kept  []domain.MessageID
		}{
			{24 * time.Hour, []domain.MessageID{"m0", "m1", "future", "hour"}},
			{25 * time.Hour, []domain.MessageID{"future"}},
			{264*time.Hour - 1, []domain.MessageID{"future"}},
			{264 * time.Hour, nil},
		} {
			k.clock.now = began.Add(step.after)
			if _, err := k.ExpireAll(ctx); err != nil {
				t.Fatal(err)
			}
			if kept := k.kept(ctx, t, "c"); !slices.Equal(kept, step.kept) {
				t.Errorf("after %s the chat has %v, want %v", step.after, kept, step.kept)
			}
		}
		if len(k.files) != 1 || k.files[0].URL != "https://example.org/a" {
			t.Errorf("the files are %+v", k.files)
		}
	})
}

// TestRetention_Policies sets, repeats, replaces and removes policies of a chat.
func TestRetention_Policies(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{MaxMessages: 5})
		status := func() app.PolicyStatus {
			t.Helper()
			all, err := k.Status(ctx, false)
			if err != nil || len(all) > 2 {
				t.Fatalf("%+v, %v", all, err)
			}
			return all[len(all)-1]
		}
		set := func(r domain.Retention) (p domain.RetentionPolicy) {
			t.Helper()
			p, err := k.SetPolicy(ctx, "c", r, "ops")
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if err := errors.Join(k.Declare(ctx), k.Declare(ctx)); err != nil {
			t.Fatal(err)
		}
		logFrom := k.clock.now.Add(domain.RetentionGrace)
		k.clock.now = k.clock.now.Add(time.Hour)
		if err := k.Declare(ctx); err != nil { // as a process that starts later does
			t.Fatal(err)
		}
		if got := status(); !got.Policy.From.Equal(logFrom) || got.Applied.MaxMessages != 0 {
			t.Errorf("the log has %+v", got)
		}
		k.clock.now = logFrom
		if got := status(); got.Applied.MaxMessages != 5 {
			t.Errorf("after the grace the log has %+v", got)
		}
		if p := set(domain.Retention{MaxMessages: 9}); !p.From.IsZero() || status().Applied.MaxMessages != 9 {
			t.Errorf("a looser policy is %+v", p)
		}
		strict := set(domain.Retention{MaxMessages: 2})
		if status().Applied.MaxMessages != 9 || !strict.From.Equal(k.clock.now.Add(domain.RetentionGrace)) {
			t.Errorf("a stricter policy is %+v, %+v", strict, status())
		}
		k.clock.now = k.clock.now.Add(time.Hour)
		if again := set(domain.Retention{MaxMessages: 2}); !again.From.Equal(strict.From) {
			t.Errorf("the same policy again is %+v", again)
		}
		k.clock.now = strict.From
		if err := k.ClearPolicy(ctx, "c", "ops"); err != nil || status().Chat != "" {
			t.Errorf("without its policy the chat has %+v, %v", status(), err)
		}
		set(domain.Retention{})
		if err := errors.Join(k.ClearPolicy(ctx, "c", "ops"), k.ClearPolicy(ctx, "c", "ops"), k.ClearPolicy(ctx, "other", "ops")); err != nil {
			t.Fatal(err)
		}
		if got := status(); got.Chat != "c" || !got.Policy.Inherits || got.Applied != (domain.Retention{}) {
			t.Errorf("a chat that goes back to a stricter policy has %+v", got)
		}
		k.clock.now = k.clock.now.Add(domain.RetentionGrace)
		if got := status(); got.Applied.MaxMessages != 5 {
			t.Errorf("after the grace it has %+v", got)
		}
		for i, err := range []error{
			errorOf(k.SetPolicy(ctx, "", domain.Retention{}, "ops")), errorOf(k.SetPolicy(ctx, "c", domain.Retention{MaxAge: 1}, "ops")), errorOf(k.SetPolicy(ctx, "c", domain.Retention{}, "")),
			k.ClearPolicy(ctx, "a b", "ops"), k.ClearPolicy(ctx, "c", ""),
		} {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("call %d: %v", i, err)
			}
		}
	})
}

func errorOf(_ any, err error) error { return err }

// TestRetention_GraceAfterClockWentBack sets the clock back by a year: the grace ends a day later, not a year.
func TestRetention_GraceAfterClockWentBack(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{MaxMessages: 1})
		k.send(t, "c", 3)
		if err := errors.Join(k.Declare(ctx), errorOf(k.SetPolicy(ctx, "d", domain.Retention{MaxMessages: 2}, "ops"))); err != nil {
			t.Fatal(err)
		}
		k.clock.now = k.clock.now.Add(-365 * 24 * time.Hour)
		for range 2 {
			if done, err := k.ExpireAll(ctx); err != nil || done.Erased != 0 {
				t.Errorf("%+v, %v", done, err)
			}
		}
		k.clock.now = k.clock.now.Add(domain.RetentionGrace)
		if done, err := k.ExpireAll(ctx); err != nil || done.Erased != 2 {
			t.Errorf("a day later: %+v, %v", done, err)
		}
	})
}

// TestRetention_RepliesAfterClockWentBack sends replies in a thread, the older ones at later times. Each is erased once so many messages follow it, although an
// earlier pass has noted from which time and ordinal on replies may be due.
func TestRetention_RepliesAfterClockWentBack(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{MaxMessages: 3})
		k.send(t, "c", 1)
		if err := k.Declare(ctx); err != nil {
			t.Fatal(err)
		}
		k.clock.now = k.clock.now.Add(2 * domain.RetentionGrace)
		send := func(id domain.MessageID, thread domain.MessageID) {
			t.Helper()
			if _, err := k.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: id, Thread: thread, Content: "content"}); err != nil {
				t.Fatal(err)
			}
			k.clock.now = k.clock.now.Add(-time.Minute)
		}
		send("r1", "m0")
		send("m1", "")
		send("r2", "m0")
		for _, step := range []struct {
			id   domain.MessageID
			kept []domain.MessageID
		}{
			{"m2", []domain.MessageID{"m0", "r1", "m1", "r2", "m2"}},
			{"m3", []domain.MessageID{"m1", "r2", "m2", "m3"}},
			{"m4", []domain.MessageID{"m2", "m3", "m4"}},
		} {
			send(step.id, "")
			if _, err := k.ExpireAll(ctx); err != nil {
				t.Fatal(err)
			}
			if kept := k.kept(ctx, t, "c"); !slices.Equal(kept, step.kept) {
				t.Errorf("after %s the chat has %v, want %v", step.id, kept, step.kept)
			}
		}
	})
}

// TestRetention_HoldDuringAPass sets a hold while a page is erased: nothing more of the chat goes, and after its removal the rest does.
func TestRetention_HoldDuringAPass(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{MaxMessages: 1})
		k.send(t, "c", 100)
		if err := k.Declare(ctx); err != nil {
			t.Fatal(err)
		}
		k.clock.now = k.clock.now.Add(domain.RetentionGrace)
		for i, subject := range []domain.HoldSubject{{Chat: "c"}, {User: "ann"}, {}} {
			n := 0
			k.erased = func() error {
				if n++; n == 10 {
					return k.AddHold(ctx, domain.Hold{HoldSubject: subject, ID: "case", Reason: "a claim", By: "ops"})
				}
				return nil
			}
			if done, err := k.ExpireAll(ctx); err != nil || done.Erased != 9 {
				t.Errorf("%s: %+v, %v", subject, done, err)
			}
			k.erased = func() error { return nil }
			if done, err := k.ExpireAll(ctx); err != nil || done.Erased != 0 || done.Held == 0 {
				t.Errorf("%s, again: %+v, %v", subject, done, err)
			}
			if holds, err := k.Holds(ctx); err != nil || len(holds) != 1 || holds[0].HoldSubject != subject || !holds[0].At.Equal(k.clock.now.Truncate(time.Millisecond)) && i == 0 && holds[0].At.IsZero() {
				t.Errorf("the holds are %+v, %v", holds, err)
			}
			if err := k.RemoveHold(ctx, subject, "case"); err != nil {
				t.Fatal(err)
			}
		}
		if done, err := k.ExpireAll(ctx); err != nil || done.Erased != 99-27 || len(k.kept(ctx, t, "c")) != 1 {
			t.Errorf("without holds: %+v, %v", done, err)
		}
	})
}

// TestRetention_Failures has the erasure of a message fail: the other chats go on, and the next pass erases it.
func TestRetention_Failures(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{MaxMessages: 1})
		for _, chat := range []domain.ChatID{"a", "b", "c"} {
			k.send(t, chat, 3)
		}
		if err := k.Declare(ctx); err != nil {
			t.Fatal(err)
		}
		k.clock.now = k.clock.now.Add(domain.RetentionGrace)
		broken, n := errors.New("broken"), 0
		k.erased = func() error {
			if n++; n == 2 {
				return broken
			}
			return nil
		}
		done, err := k.ExpireAll(ctx)
		if !errors.Is(err, broken) || done.Erased != 5 {
			t.Errorf("an error of one chat: %+v, %v", done, err)
		}
		if s := k.Stats(); s.Failed.Load() != 1 || s.Erased.Load() != 5 {
			t.Errorf("%d failures, %d erasures", s.Failed.Load(), s.Erased.Load())
		}
		if done, err := k.ExpireAll(ctx); err != nil || done.Erased != 1 {
			t.Errorf("the next pass: %+v, %v", done, err)
		}
	})
}

// TestErasuresUnderHolds gives all commands of erasure under each hold: nothing is erased, and each says what is held.
func TestErasuresUnderHolds(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{})
		erasures := app.NewErasures(app.NewUsers(k.chats, app.NewQueries(log.(app.Log), entity.NewLoader(log, log, 1<<20), projection.Views{}), nil))
		for i, subject := range []domain.HoldSubject{{Chat: "0"}, {User: "ann"}, {}} {
			chat := domain.ChatID(fmt.Sprint(i))
			k.send(t, chat, 2)
			if err := k.AddHold(ctx, domain.Hold{HoldSubject: subject, ID: "case", Reason: "a claim", By: "ops"}); err != nil {
				t.Fatal(err)
			}
			_, err1 := k.chats.Erase(ctx, domain.Erase{Chat: chat, Actor: "ann", MessageID: "m0"})
			deleted, err2 := k.chats.DeleteChat(ctx, domain.DeleteChat{Chat: chat, Actor: "ann"}, nil)
			user, err3 := erasures.EraseUser(ctx, app.EraseUser{User: "ann", Actor: "ops"}, nil)
			for call, err := range []error{err1, err2, err3} {
				var held *domain.LegalHoldError
				if !errors.As(err, &held) || held.HoldSubject != subject {
					t.Errorf("%s: call %d gives %v", subject, call, err)
				}
			}
			if kept := k.kept(ctx, t, chat); len(kept) != 2 {
				t.Errorf("%s: the chat has %v", subject, kept)
			}
			if closed := subject.User != ""; deleted.Changed != closed || closed && deleted.Held != 2 {
				t.Errorf("%s: the deletion is %+v", subject, deleted)
			}
			if subject.Chat != "" && user.Held != 2 {
				t.Errorf("%s: the erasure of the user is %+v", subject, user)
			}
			_, err := k.chats.DeleteChat(ctx, domain.DeleteChat{Chat: chat, Actor: "outsider"}, nil)
			if errors.Is(err, domain.ErrLegalHold) {
				t.Errorf("%s: an outsider learns of the hold: %v", subject, err)
			}
			if err := k.RemoveHold(ctx, subject, "case"); err != nil {
				t.Fatal(err)
			}
			if _, err := k.chats.DeleteChat(ctx, domain.DeleteChat{Chat: chat, Actor: "ann", Trusted: true}, nil); err != nil || len(k.kept(ctx, t, chat)) > 0 {
				t.Errorf("%s: without the hold: %v", subject, err)
			}
		}
	})
}

// TestDeleteChat_ContentUnderAHold deletes a chat in which a user under a hold has recorded an event: its data stay until the hold is removed and the chat is
// deleted once more, and each deletion that has erased something says so in the log.
func TestDeleteChat_ContentUnderAHold(t *testing.T) {
	onEachRuledLog(t, func(t *testing.T, log ruledLog) {
		ctx, k := t.Context(), newKeeper(log, domain.Retention{})
		subject := domain.HoldSubject{User: "bob"}
		for _, err := range []error{
			failed(k.chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann", Title: "a title", Members: []domain.UserID{"bob"}})),
			failed(k.chats.Record(ctx, domain.Record{Chat: "c", Actor: "bob", Event: custom{`{"a":1}`}})),
			failed(k.chats.Record(ctx, domain.Record{Chat: "c", Actor: "ann", Event: custom{`{"b":1}`}})),
			k.AddHold(ctx, domain.Hold{HoldSubject: subject, ID: "case", Reason: "a claim", By: "ops"}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		remove := func(held int, data []string, said int) {
			t.Helper()
			deleted, err := k.chats.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "ann"}, nil)
			var hold *domain.LegalHoldError
			if errors.As(err, &hold) != (held > 0) || held > 0 && hold.HoldSubject != subject || held == 0 && err != nil || deleted.Held != held {
				t.Errorf("%+v, error %v", deleted, err)
			}
			page, err := log.Read(ctx, "c", ports.Range{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			times := 0
			for _, r := range page.Records {
				switch e := r.Event.(type) {
				case domain.Custom:
					got = append(got, e.Data)
				case domain.ChatDeleted:
					if e.ContentErased {
						times++
					}
				}
			}
			if !slices.Equal(got, data) || times != said {
				t.Errorf("the data are %q, and %d events say so, want %q and %d", got, times, data, said)
			}
		}
		remove(1, []string{`{"a":1}`, "{}"}, 1)
		remove(1, []string{`{"a":1}`, "{}"}, 1)
		if err := k.RemoveHold(ctx, subject, "case"); err != nil {
			t.Fatal(err)
		}
		remove(0, []string{"{}", "{}"}, 2)
		remove(0, []string{"{}", "{}"}, 2)
	})
}
