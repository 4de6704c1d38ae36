package redis_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/embedded"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// servers runs a test on every kind of server that the adapters support.
func servers(t *testing.T, test func(t *testing.T, client goredis.UniversalClient)) {
	t.Run("redis", func(t *testing.T) { test(t, connectPatiently(t, redistest.Shared(t).URL())) })
	if user, _ := redistest.Credentials(); user == "" { // miniredis cannot restrict rights
		t.Run("miniredis", func(t *testing.T) { test(t, connectPatiently(t, "redis://"+mini(t).Addr())) })
	}
}

// plainMini starts an in-process server that has no replication ID.
func plainMini(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	return miniredis.RunT(t)
}

func testTime() time.Time { return time.Now().Truncate(time.Millisecond) }

// eventually calls until there is no error. It returns the last error after 30 s.
func eventually(t *testing.T, call func() error) (err error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if err = call(); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

// mini starts an in-process server on which a log can be opened.
func mini(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	server := miniredis.RunT(t)
	embedded.Identify(server)
	return server
}

func connect(t *testing.T, url string) goredis.UniversalClient {
	t.Helper()
	return connectBy(t, redis.Options{URL: url})
}

// connectPatiently connects to a server that answers in the end: on a busy machine a command may take longer than the timeout of 5 s.
func connectPatiently(t *testing.T, url string) goredis.UniversalClient {
	t.Helper()
	return connectBy(t, redis.Options{URL: url, Timeout: wait.Limit})
}

func connectBy(t *testing.T, options redis.Options) goredis.UniversalClient {
	t.Helper()
	client, err := redis.Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client.UniversalClient // as the core passes it
}

func newKeys(t *testing.T, partitions int) redis.Keys {
	t.Helper()
	keys, err := redis.NewKeys("test-"+uuid.NewString(), partitions, false)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func open(t *testing.T, client goredis.UniversalClient, keys redis.Keys) *redis.Log {
	t.Helper()
	log, err := redis.Open(t.Context(), client, wireformat.New(), redis.LogConfig{Keys: keys, Announce: true})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestEventLog(t *testing.T) {
	servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.EventLog(t, func(t *testing.T) porttest.Log { return open(t, client, newKeys(t, redis.DefaultPartitions)) })
	})
}

func TestEventLogInOnePartition(t *testing.T) {
	porttest.EventLog(t, func(t *testing.T) porttest.Log {
		return open(t, connect(t, redistest.Shared(t).URL()), newKeys(t, 1))
	})
}

func TestTypingMarks(t *testing.T) {
	servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Typing(t, func(t *testing.T) (ports.TypingMarks, porttest.Log, func(time.Duration)) {
			keys := newKeys(t, redis.DefaultPartitions)
			return redis.NewTypingMarks(client, keys, domain.TypingTTL), open(t, client, keys), forward(t, client, keys)
		})
	})
}
