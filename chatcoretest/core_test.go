package chatcoretest_test

import (
	"context"
	"errors"
	"log"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatcore"
	"chatcore/app"
	"chatcore/chatcoretest"
	"chatcore/domain"
)

// t stands for the *testing.T of the Example's test.
var t = &stand{}

type stand struct{ cleanups []func() }

func (s *stand) Helper()                           {}
func (s *stand) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *stand) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

func TestMain(m *testing.M) {
	code := m.Run()
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		log.Print(err)
		code = 1
	}
	os.Exit(code)
}

func TestWaitIdle_WaitsForHandlersRetriesAndTheirSends(t *testing.T) {
	core := chatcoretest.New(t)
	var calls, heard atomic.Int64
	if err := core.Subscribe("echo", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		calls.Add(1)
		if d.Attempt < 3 {
			return errors.New("not yet")
		}
		if len(d.Event.Content) > 3 {
			return nil
		}
		_, err := core.Chats.Send(ctx, domain.Send{Chat: d.Event.Chat, Actor: "ada", Content: string(d.Event.Content) + "!"})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	if err := core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) { heard.Add(1) })); err != nil {
		t.Fatal(err)
	}
	core.Start()
	if _, err := core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "a"}); err != nil {
		t.Fatal(err)
	}
	core.WaitIdle()
	if calls.Load() != 12 || heard.Load() != 4 { // a, a!, a!!, a!!!, three attempts each
		t.Errorf("%d calls and %d live events, want 12 and 4", calls.Load(), heard.Load())
	}
	core.WaitIdle()
}

// TestWaitIdle_RecordsPendingMarks makes two marks within a second, one of them in a handler. Once the core is idle both are recorded, and the clock has
// moved by just the second between them.
func TestWaitIdle_RecordsPendingMarks(t *testing.T) {
	core := chatcoretest.New(t)
	if err := core.Subscribe("reader", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		_, err := core.Chats.MarkRead(ctx, domain.MarkRead{Chat: d.Event.Chat, Actor: "ben", MessageID: d.Event.Message})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	core.Start()
	if _, err := core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil {
		t.Fatal(err)
	}
	began := core.Clock.Now()
	for range 2 {
		if _, err := core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	core.WaitIdle()
	if n, err := core.Queries.Unread(t.Context(), "c", "ben"); err != nil || n != 0 || core.Chats.MarkStats() != (app.MarkStats{}) {
		t.Errorf("%d messages are unread, error %v; marks: %+v", n, err, core.Chats.MarkStats())
	}
	if moved := core.Clock.Now().Sub(began); moved != domain.ReadCoalescing {
		t.Errorf("the clock moved by %v, want %v", moved, domain.ReadCoalescing)
	}
}

func TestTheClockStandsUntilItIsMoved(t *testing.T) {
	core := chatcoretest.New(t)
	ctx := t.Context()
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}); err != nil {
		t.Fatal(err)
	}
	seqs := make([]domain.Seq, 2)
	for i := range seqs {
		sent, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"})
		if err != nil {
			t.Fatal(err)
		}
		seqs[i] = sent.Seq
	}
	if _, err := core.Chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ben", Seq: seqs[0]}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { // too soon after the other one: waits by the clock
		_, err := core.Chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ben", Seq: seqs[1], AwaitRecorded: true})
		done <- err
	}()
	unread := func() domain.Ordinal {
		n, err := core.Queries.Unread(ctx, "c", "ben")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := unread(); n != 1 {
		t.Errorf("%d unread before the clock moved, want 1", n)
	}
	core.Clock.Advance(domain.ReadCoalescing - time.Millisecond)
	select {
	case err := <-done:
		t.Errorf("marked too soon: %v", err)
	default:
	}
	core.Clock.Advance(time.Hour)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := unread(); n != 0 {
		t.Errorf("%d unread after the clock moved, want 0", n)
	}
}

func TestWaitIdle_EndsWithItsContext(t *testing.T) {
	core := chatcoretest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := core.Core.WaitIdle(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a core that does not run: %v", err)
	}
}
