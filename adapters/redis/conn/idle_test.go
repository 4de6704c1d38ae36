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

// TestIdleConnections_ClosedByTheServer has the server close every idle connection. Each is noticed before a command is written to it, so that no command
// has an unknown outcome.
func TestIdleConnections_ClosedByTheServer(t *testing.T) {
	server := redistest.Start(t)
	for name, closeAll := range map[string]func(testing.TB){"killed": server.KillClients, "restarted": server.Restart} {
		t.Run(name, func(t *testing.T) {
			client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			const connections = 8
			var many sync.WaitGroup
			for range connections { // concurrently, so that each has a connection
				many.Go(func() { client.BLPop(t.Context(), 100*time.Millisecond, "nothing-comes-here") })
			}
			many.Wait()
			closeAll(t)
			for i := range connections {
				if err := client.Incr(t.Context(), "count-"+name).Err(); err != nil {
					t.Errorf("command %d: %v", i+1, err)
				}
			}
		})
	}
}

// TestCommand_Allocations counts the allocations of a command: it and its two arguments, and the check of the connection makes two.
func TestCommand_Allocations(t *testing.T) {
	client, err := conn.Connect(t.Context(), conn.Options{URL: redistest.Shared(t).URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	const most = 5
	if n := testing.AllocsPerRun(200, func() { client.Ping(t.Context()) }); n > most {
		t.Errorf("a command makes %v allocations, want at most %d", n, most)
	}
}
