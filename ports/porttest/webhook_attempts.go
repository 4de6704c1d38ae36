package porttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// WebhookAttempts tests a store of the attempts of webhooks. pass lets time pass for it. open may return the same store for every subtest.
func WebhookAttempts(t *testing.T, open func(t *testing.T) (s ports.WebhookAttempts, pass func(time.Duration))) {
	attempts := func(from, n int, ok bool) []ports.WebhookAttempt {
		list := make([]ports.WebhookAttempt, n)
		for i := range list {
			list[i] = ports.WebhookAttempt{
				StartedAt: time.UnixMilli(int64(1_700_000_000_000 + from + i)).UTC(), Took: 1500 * time.Microsecond, Event: domain.EventID(fmt.Sprint("e", from+i)), Chat: "c:ä",
				Seq: domain.Seq(from + i), Type: "message:new", Attempt: 2, Status: 204, OK: ok, Answer: "\u0000ok\uFFFD\n",
			}
			if !ok {
				list[i].Status, list[i].Error = 0, "no connection"
			}
		}
		return list
	}
	record := func(t *testing.T, s ports.WebhookAttempts, webhook string, list []ports.WebhookAttempt) {
		t.Helper()
		if err := s.Record(t.Context(), webhook, list); err != nil {
			t.Fatal(err)
		}
	}
	want := func(t *testing.T, s ports.WebhookAttempts, webhook string, failedOnly bool, want []ports.WebhookAttempt) {
		t.Helper()
		got, err := s.Attempts(t.Context(), webhook, failedOnly)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d attempts, want %d: %+v, %v", len(got), len(want), got, err)
		}
	}
	latestFirst := func(list []ports.WebhookAttempt) []ports.WebhookAttempt {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	}
	t.Run("attempts are returned the latest first", func(t *testing.T) {
		s, _ := open(t)
		hook, other := rand.Text(), rand.Text()
		want(t, s, hook, false, nil)
		a, b, c := attempts(1, 3, true), attempts(4, 2, false), attempts(6, 2, true)
		for _, list := range [][]ports.WebhookAttempt{a, slices.Concat(b, c), nil} {
			record(t, s, hook, list)
		}
		record(t, s, other, attempts(100, 1, false))
		want(t, s, hook, false, latestFirst(slices.Concat(a, b, c)))
		want(t, s, hook, true, latestFirst(b))
	})
	t.Run("the last ones are kept, failed ones apart", func(t *testing.T) {
		s, _ := open(t)
		hook := rand.Text()
		failed, succeeded := attempts(0, 130, false), attempts(200, 300, true)
		for i := 0; i < len(failed); i += 13 {
			record(t, s, hook, failed[i:i+13])
		}
		want(t, s, hook, false, latestFirst(failed[30:]))
		for i := 0; i < len(succeeded); i += 50 {
			record(t, s, hook, succeeded[i:i+50])
		}
		want(t, s, hook, true, latestFirst(failed[30:]))
		want(t, s, hook, false, latestFirst(slices.Concat(failed[80:], succeeded[250:])))
	})
	t.Run("attempts are removed", func(t *testing.T) {
		s, _ := open(t)
		hook := rand.Text()
		record(t, s, hook, attempts(0, 5, false))
		record(t, s, hook, attempts(5, 5, true))
		for range 2 {
			if err := s.Remove(t.Context(), hook); err != nil {
				t.Fatal(err)
			}
			want(t, s, hook, false, nil)
		}
	})
	t.Run("attempts end a week after the last one", func(t *testing.T) {
		s, pass := open(t)
		hook := rand.Text()
		record(t, s, hook, attempts(0, 1, false))
		pass(ports.WebhookAttemptsTTL - time.Hour)
		record(t, s, hook, attempts(1, 1, false))
		pass(2 * time.Hour)
		want(t, s, hook, true, latestFirst(attempts(0, 2, false)))
		pass(ports.WebhookAttemptsTTL)
		want(t, s, hook, true, nil)
	})
	t.Run("arguments are checked", func(t *testing.T) {
		s, _ := open(t)
		ended, end := context.WithCancel(t.Context())
		end()
		for _, call := range []struct {
			ctx     context.Context
			webhook string
			want    error
		}{{t.Context(), "", domain.ErrInvalid}, {ended, "hook", context.Canceled}} {
			_, read := s.Attempts(call.ctx, call.webhook, false)
			for i, err := range []error{read, s.Record(call.ctx, call.webhook, attempts(0, 1, true)), s.Remove(call.ctx, call.webhook)} {
				if !errors.Is(err, call.want) {
					t.Errorf("call %d: %v, want %v", i+1, err, call.want)
				}
			}
		}
	})
}
