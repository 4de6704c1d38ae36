package porttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// FeedState tests a store of the state of feeds. pass lets time pass for it. open may return the same store for every subtest.
func FeedState(t *testing.T, open func(t *testing.T) (s ports.FeedState, pass func(time.Duration))) {
	t.Run("a value is read until it is taken", func(t *testing.T) {
		s, _ := open(t)
		key, value := rand.Text(), []byte("a\x00\r\n\xff")
		if err := s.Keep(t.Context(), key, value, time.Hour); err != nil {
			t.Fatal(err)
		}
		for i, read := range []func(context.Context, string) ([]byte, bool, error){s.Get, s.Get, s.Take, s.Take, s.Get} {
			got, found, err := read(t.Context(), key)
			if err != nil || found != (i < 3) || found && !bytes.Equal(got, value) {
				t.Errorf("call %d returns %q, %t, %v", i+1, got, found, err)
			}
		}
	})
	t.Run("keys are apart", func(t *testing.T) {
		s, _ := open(t)
		for _, other := range []string{rand.Text(), "a:b{c}*", "日本"} {
			if err := s.Keep(t.Context(), other, []byte(other), time.Hour); err != nil {
				t.Fatal(err)
			}
			if got, found, err := s.Get(t.Context(), other+"x"); found || err != nil {
				t.Errorf("another key has %q, %v", got, err)
			}
			if got, _, err := s.Take(t.Context(), other); string(got) != other || err != nil {
				t.Errorf("%q has %q, %v", other, got, err)
			}
		}
	})
	t.Run("a value ends after its time", func(t *testing.T) {
		s, pass := open(t)
		short, long := rand.Text(), rand.Text()
		if err := errors.Join(s.Keep(t.Context(), short, []byte("s"), 30*time.Second), s.Keep(t.Context(), long, []byte("l"), 24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		pass(30 * time.Second)
		if _, found, err := s.Take(t.Context(), short); found || err != nil {
			t.Errorf("after its time a value is found: %t, %v", found, err)
		}
		if _, found, err := s.Get(t.Context(), long); !found || err != nil {
			t.Errorf("before its end a value is found: %t, %v", found, err)
		}
	})
	t.Run("of concurrent takes one succeeds", func(t *testing.T) {
		s, _ := open(t)
		key := rand.Text()
		if err := s.Keep(t.Context(), key, []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		var taken atomic.Int64
		var taking sync.WaitGroup
		for range 32 {
			taking.Go(func() {
				_, found, err := s.Take(t.Context(), key)
				if err != nil {
					t.Error(err)
				}
				if found {
					taken.Add(1)
				}
			})
		}
		if taking.Wait(); taken.Load() != 1 {
			t.Errorf("%d calls took the value", taken.Load())
		}
	})
	t.Run("arguments are checked", func(t *testing.T) {
		s, _ := open(t)
		ended, end := context.WithCancel(t.Context())
		end()
		_, _, get := s.Get(t.Context(), "")
		_, _, take := s.Take(t.Context(), "")
		for i, err := range []error{get, take, s.Keep(t.Context(), "", nil, time.Hour), s.Keep(t.Context(), "k", nil, 0)} {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("call %d: %v", i+1, err)
			}
		}
		_, _, get = s.Get(ended, "k")
		_, _, take = s.Take(ended, "k")
		for i, err := range []error{get, take, s.Keep(ended, "k", nil, time.Hour)} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended call %d: %v", i+1, err)
			}
		}
	})
}
