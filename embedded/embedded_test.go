package embedded_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/embedded"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestKeysExpireByThemselves(t *testing.T) {
	server, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	options, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	if err := client.Set(ctx, "mark", "true", 100*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for client.Exists(ctx, "mark").Val() == 1 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("the key outlived its TTL")
		}
	}
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
}
