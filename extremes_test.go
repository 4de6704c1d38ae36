package chatcore_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// TestQueries_Extremes asks for pages and moments at the ends of the range of seqs. A seq beyond the last is after everything.
func TestQueries_Extremes(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		ctx, q := t.Context(), core.Queries
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
		var seqs []domain.Seq
		for i := range 3 {
			seqs = append(seqs, must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: fmt.Sprint(i)})).Seq)
		}
		head := seqs[2]
		pages := func(span domain.Span) (events, messages []domain.Seq) {
			t.Helper()
			for _, r := range must[[]ports.Record](t)(q.Events(ctx, "c", span)) {
				events = append(events, r.Seq)
			}
			for _, m := range must[[]app.MessageView](t)(q.History(ctx, "c", span)) {
				messages = append(messages, m.Seq)
			}
			return events, messages
		}
		for _, at := range []domain.Seq{0, 1, head, head + 1, 1<<53 + 1, 1 << 63, math.MaxUint64} {
			for _, limit := range []int{1, app.MaxHistory} {
				var after, before []domain.Seq
				for seq := domain.Seq(1); seq <= head; seq++ {
					if at > 0 && seq > at && len(after) < limit {
						after = append(after, seq)
					}
				}
				for seq := head; seq >= 1; seq-- {
					if (at == 0 || seq < at) && len(before) < limit {
						before = append(before, seq)
					}
				}
				slices.Reverse(before)
				if at == 0 { // neither: the last page
					after = before
				}
				if got, _ := pages(domain.Span{After: at, Limit: limit}); !slices.Equal(got, after) {
					t.Errorf("%d events after %d: %v, want %v", limit, at, got, after)
				}
				if got, _ := pages(domain.Span{Before: at, Limit: limit}); !slices.Equal(got, before) {
					t.Errorf("%d events before %d: %v, want %v", limit, at, got, before)
				}
			}
			if _, got := pages(domain.Span{After: at, Limit: 100}); at > 0 && len(got) != len(slices.DeleteFunc(slices.Clone(seqs), func(s domain.Seq) bool { return s <= at })) {
				t.Errorf("messages after %d: %v", at, got)
			}
			if at < head && at > 0 {
				continue
			}
			then := q.At(at)
			if got := must[domain.Ordinal](t)(then.Unread(ctx, "c", "ben")); got != 3 {
				t.Errorf("as of %d ben has %d unread", at, got)
			}
			if got := must[[]domain.Member](t)(then.Members(ctx, "c")); len(got) != 2 {
				t.Errorf("as of %d the members are %v", at, got)
			}
			if got := must[[]ports.Record](t)(then.Events(ctx, "c", domain.Span{First: true})); len(got) != int(head) { //nolint:gosec // small
				t.Errorf("as of %d there are %d events", at, len(got))
			}
			if got := must[[]app.MessageView](t)(then.History(ctx, "c", domain.Span{})); len(got) != 3 {
				t.Errorf("as of %d there are %d messages", at, len(got))
			}
			if _, err := then.Chat(ctx, "c"); err != nil {
				t.Errorf("as of %d: %v", at, err)
			}
		}
		for _, limit := range []int{-1, app.MaxHistory + 1, math.MaxInt, math.MinInt} {
			var invalid *domain.InvalidError
			if _, err := q.History(ctx, "c", domain.Span{Limit: limit}); !errors.As(err, &invalid) {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	})
}

// TestQueriesAboutUsers_WithoutSubscribers asks for views before and after a process has run the built-in subscribers.
func TestQueriesAboutUsers_WithoutSubscribers(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		ctx, q := t.Context(), core.Queries
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		ask := func() (errs [4]error) {
			_, errs[0] = q.ChatsOf(ctx, "ada")
			_, errs[1] = q.UnreadOf(ctx, "ada")
			_, errs[2] = q.ChatList(ctx, "ada")
			_, errs[3] = q.Contacts(ctx, "ada")
			return errs
		}
		for i, err := range ask() {
			if !errors.Is(err, chatcore.ErrNoViews) {
				t.Errorf("query %d where nobody keeps views: %v", i, err)
			}
		}
		if err := core.SubscribeBuiltins(); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		eventually(t, "ada is in c", func() bool {
			chats, err := q.ChatsOf(ctx, "ada")
			return err == nil && len(chats) == 1
		})
		if errs := ask(); errs != [4]error{} {
			t.Errorf("where they are kept: %v", errs)
		}
		if chats, err := q.ChatsOf(ctx, "nobody"); err != nil || len(chats) != 0 {
			t.Errorf("nobody is in %v, %v", chats, err)
		}
	})
}
