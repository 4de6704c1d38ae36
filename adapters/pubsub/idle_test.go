package pubsub_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
)

// goroutine names the goroutine that calls it.
func goroutine() string {
	var stack [64]byte
	first, _, _ := bytes.Cut(stack[:runtime.Stack(stack[:], false)], []byte(" ["))
	return string(first)
}

// TestCalls_Goroutines shows that goroutines of plain handlers wait for the next deliveries, 64 at most. That they end with the member is what the bubble of
// every test shows.
func TestCalls_Goroutines(t *testing.T) {
	const burst, most = 200, 64
	var mu sync.Mutex
	used := make(map[string]bool)
	release := make(chan struct{})
	handle := func(context.Context, ports.Delivery) error {
		mu.Lock()
		used[goroutine()] = true
		gate := release
		mu.Unlock()
		<-gate
		return nil
	}
	inBubble(t, group.Config{Concurrency: burst}, true, handle, 0, func(b *bubble) {
		// run sends an event to each of n chats, and returns the goroutines that had them at the same time.
		run := func(n int) map[string]bool {
			mu.Lock()
			clear(used)
			release = make(chan struct{})
			gate := release
			mu.Unlock()
			for i := range n {
				b.send(domain.ChatID(fmt.Sprint("chat-", i)), 1)
			}
			b.pass(time.Second)
			close(gate)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			all := make(map[string]bool)
			for name := range used {
				all[name] = true
			}
			if len(all) != n {
				t.Fatalf("%d goroutines had %d deliveries", len(all), n)
			}
			return all
		}
		first := run(burst)
		for range 20 {
			for name := range run(1) {
				if !first[name] {
					t.Errorf("%s was started although others waited", name)
				}
			}
		}
		again := 0
		for name := range run(burst) {
			if first[name] {
				again++
			}
		}
		if again != most {
			t.Errorf("%d of %d goroutines had waited, want %d", again, burst, most)
		}
	})
}
