package porttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore/ports"
)

// Relay tests a relay between two processes of a log. open returns that of each.
func Relay(t *testing.T, open func(t *testing.T) (asker, answerer ports.Relay)) {
	answering := func(t *testing.T, r ports.Relay, answer func(ctx context.Context, request []byte) []byte) (instance string, stop func()) {
		t.Helper()
		instance = rand.Text()
		stop, err := r.Answer(t.Context(), instance, answer)
		if err != nil {
			t.Fatal(err)
		}
		return instance, sync.OnceFunc(stop)
	}
	reverse := func(_ context.Context, request []byte) []byte {
		answer := make([]byte, 0, len(request))
		for i := range request {
			answer = append(answer, request[len(request)-1-i])
		}
		return answer
	}
	t.Run("an instance answers, also in the process of the asker", func(t *testing.T) {
		asker, answerer := open(t)
		for _, of := range []ports.Relay{asker, answerer} {
			instance, stop := answering(t, of, reverse)
			defer stop()
			for _, request := range []string{"a\x00\r\n\xff", "", "日本"} {
				got, err := asker.Ask(t.Context(), instance, []byte(request))
				if err != nil || !bytes.Equal(got, reverse(nil, []byte(request))) {
					t.Errorf("the answer to %q is %q, %v", request, got, err)
				}
			}
		}
	})
	t.Run("of many requests each has its answer", func(t *testing.T) {
		asker, answerer := open(t)
		instance, stop := answering(t, answerer, func(_ context.Context, request []byte) []byte { return append([]byte("to "), request...) })
		defer stop()
		var asking sync.WaitGroup
		for i := range 40 {
			asking.Go(func() {
				got, err := asker.Ask(t.Context(), instance, fmt.Append(nil, i))
				if err != nil || string(got) != fmt.Sprint("to ", i) {
					t.Errorf("the answer to %d is %q, %v", i, got, err)
				}
			})
		}
		asking.Wait()
	})
	t.Run("no instance answers", func(t *testing.T) {
		asker, answerer := open(t)
		instance, stop := answering(t, answerer, reverse)
		if _, err := asker.Ask(t.Context(), rand.Text(), nil); !errors.Is(err, ports.ErrNoInstance) {
			t.Errorf("an instance that never was: %v", err)
		}
		if _, err := asker.Ask(t.Context(), instance, nil); err != nil {
			t.Errorf("an instance that answers: %v", err)
		}
		stop()
		for limit := time.Now().Add(2 * time.Minute); ; { // until its channel has no receiver, it is silent
			_, err := asker.Ask(t.Context(), instance, nil)
			if errors.Is(err, ports.ErrNoInstance) {
				break
			}
			if err == nil || time.Now().After(limit) {
				t.Fatalf("an instance that has ended: %v", err)
			}
		}
	})
	t.Run("an answer comes too late", func(t *testing.T) {
		asker, answerer := open(t)
		release := make(chan struct{})
		instance, stop := answering(t, answerer, func(context.Context, []byte) []byte {
			<-release
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := asker.Ask(ctx, instance, nil); !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, ports.ErrNoInstance) {
			t.Errorf("before the answer: %v", err)
		}
		close(release)
		stop()
	})
	t.Run("stop waits for answers and ends their context", func(t *testing.T) {
		asker, answerer := open(t)
		begun, ended := make(chan struct{}), make(chan struct{})
		instance, stop := answering(t, answerer, func(ctx context.Context, _ []byte) []byte {
			close(begun)
			<-ctx.Done()
			close(ended)
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var asking sync.WaitGroup
		asking.Go(func() { _, _ = asker.Ask(ctx, instance, nil) })
		<-begun
		stop()
		select {
		case <-ended:
		default:
			t.Error("stop has returned before the answer")
		}
		cancel()
		asking.Wait()
	})
	t.Run("a request that is too large", func(t *testing.T) {
		asker, answerer := open(t)
		instance, stop := answering(t, answerer, func(context.Context, []byte) []byte { return []byte("ok") })
		defer stop()
		if _, err := asker.Ask(t.Context(), instance, make([]byte, ports.MaxRelayed+1)); !errors.Is(err, ports.ErrTooLarge) {
			t.Errorf("a byte too many: %v", err)
		}
		if got, err := asker.Ask(t.Context(), instance, make([]byte, ports.MaxRelayed)); err != nil || string(got) != "ok" {
			t.Errorf("the largest one: %q, %v", got, err)
		}
	})
}
