package feed_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/app/feed"
)

// TestOpen_Paced opens a fifth of a second's feeds at once, and further ones in their turn. An opening that is given up, and the end of the hub, end the wait.
func TestOpen_Paced(t *testing.T) {
	const opens, atOnce, more = 50, 10, 25
	bubble(t, feed.Config{Opens: opens}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"))
		time.Sleep(time.Second)
		began := time.Now()
		open := func() time.Duration {
			r.open(named("bob", head("c")))
			return time.Since(began)
		}
		for i := range atOnce + 1 {
			if waited := open(); waited != 0 {
				t.Fatalf("opening %d waited for %v", i+1, waited)
			}
		}
		for i := range more {
			if waited, want := open(), time.Duration(i+1)*time.Second/opens; waited != want {
				t.Errorf("opening %d came after %v, want %v", atOnce+2+i, waited, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.hub.Open(ctx, named("bob", head("c"))); !errors.Is(err, context.Canceled) {
			t.Errorf("an opening that was given up returned %v", err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := r.hub.Open(t.Context(), named("bob", head("c")))
			ended <- err
		}()
		synctest.Wait()
		r.hub.Close()
		if err := <-ended; !errors.Is(err, feed.ErrEnded) {
			t.Errorf("an opening at the end of the hub returned %v", err)
		}
	})
}
