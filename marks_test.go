package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestMarkRead_TwoProcesses has two processes on one Redis accept marks of a user within a second, and closes both. The log then has the highest mark,
// its marks are a second apart, and a closed process takes no mark.
func TestMarkRead_TwoProcesses(t *testing.T) {
	config := chatcore.Config{}
	config.Redis.URL, config.Redis.Namespace, config.Log.Partitions = redistest.Shared(t).URL(), "core-"+uuid.NewString(), 1
	open := func() *chatcore.Core { return opened(t)(chatcore.New(t.Context(), quick(config))) }
	cores, reader := []*chatcore.Core{open(), open()}, open()
	must[app.Done](t)(reader.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
	const messages = 6
	for i := range messages {
		must[app.Sent](t)(reader.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: "x"}))
	}
	accepted := 0
	for i, m := range []int{0, 5, 1, 4, 2, 3} {
		marked := must[app.Marked](t)(cores[i%2].Chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ben", MessageID: domain.MessageID(fmt.Sprint("m", m))}))
		if !marked.Recorded {
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("no mark was accepted")
	}
	for _, core := range cores {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
		if stats := core.Chats.MarkStats(); stats != (app.MarkStats{}) {
			t.Errorf("a closed process has %+v", stats)
		}
		if _, err := core.Chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ben", MessageID: "m5"}); !errors.Is(err, chatcore.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if n := must[domain.Ordinal](t)(reader.Queries.Unread(t.Context(), "c", "ben")); n != 0 {
		t.Errorf("%d messages are unread, want 0", n)
	}
	var last domain.ReadReceipt
	for _, r := range must[[]ports.Record](t)(reader.Queries.Events(t.Context(), "c", domain.Span{First: true, Limit: 100})) {
		receipt, ok := r.Event.(domain.ReadReceipt)
		if !ok {
			continue
		}
		if last.User != "" && (receipt.ReadSeq <= last.ReadSeq || receipt.At.Sub(last.At) < domain.ReadCoalescing) {
			t.Errorf("the receipt %+v comes after %+v", receipt, last)
		}
		last = receipt
	}
}

// TestMarkRead_RunRecordsPendingMarks ends the context of Run while a mark is pending. The core has recorded it when Run returns.
func TestMarkRead_RunRecordsPendingMarks(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, reader := open(chatcore.Config{}), open(chatcore.Config{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		if err := core.Start(ctx); err != nil {
			t.Fatal(err)
		}
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
		for _, m := range []domain.MessageID{"m1", "m2"} {
			must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: m, Content: "x"}))
			must[app.Marked](t)(core.Chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ben", MessageID: m}))
		}
		stop()
		if err := core.Wait(); err != nil {
			t.Error(err)
		}
		if stats := core.Chats.MarkStats(); stats != (app.MarkStats{}) {
			t.Errorf("after Run there are %+v", stats)
		}
		if reader.LogID() != core.LogID() { // in memory, the log has ended with the core
			return
		}
		if n := must[domain.Ordinal](t)(reader.Queries.Unread(t.Context(), "c", "ben")); n != 0 {
			t.Errorf("%d messages are unread, want 0", n)
		}
	})
}
