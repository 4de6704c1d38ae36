package conn_test

import (
	"sync"
	"testing"
	"time"

	"chatcore/adapters/redis/conn"
	"chatcore/tests/redistest"
)

// TestConnectionsThatWereSwallowedAreNotTriedOneByOne guards against a caller that waits for one timeout per dead connection.
func TestConnectionsThatWereSwallowedAreNotTriedOneByOne(t *testing.T) {
	const timeout = 1500 * time.Millisecond
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	client, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL(), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	var many sync.WaitGroup
	for range 8 { // concurrently, so that each has a connection
		many.Go(func() { client.BLPop(t.Context(), 100*time.Millisecond, "nothing-comes-here") })
	}
	many.Wait()
	proxy.Swallow(true)
	proxy.Swallow(false)  // existing connections stay dead
	<-time.After(timeout) // the connections are idle
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first command after it: %v", err)
	}
}
