package conn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/redis/conn"
	"chatcore/tests/redistest"
)

func TestRedisURLs(t *testing.T) {
	for url, addrs := range map[string]string{
		"redis://localhost:6379":              "localhost:6379",
		"redis://:secret@example.org:7000/2":  "example.org:7000",
		"rediss://user:secret@example.org:1":  "example.org:1",
		"redis://a:1,redis://b:2":             "a:1 b:2",
		"redis://:secret@a:1,b:2,redis://c:3": "a:1 b:2 c:3",
		"redis://[::1]:6379":                  "[::1]:6379",
	} {
		got, err := conn.ParseURL(url)
		if err != nil || strings.Join(got.Addrs, " ") != addrs || got.IsClusterMode != strings.Contains(url, ",") {
			t.Errorf("%s: %+v, error %v", url, got, err)
		}
	}
	for _, url := range []string{
		"", " ", "localhost:6379", "http://localhost", "redis://", "redis://:secret@host:port", "redis://a:1,rediss://:secret@b:2",
		"redis://:secret@a:1,redis://:other@b:2", "redis://:secret@a:1/3,b:2", "redis://:secret@a:1/nodb", "redis://:secret@%zz",
	} {
		_, err := conn.ParseURL(url)
		if !errors.Is(err, conn.ErrURL) {
			t.Errorf("%q: %v", url, err)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "other@") {
			t.Errorf("%q: the password is in %q", url, err)
		}
	}
}

func TestConnectGivesUpWithASentence(t *testing.T) {
	server := redistest.Start(t)
	server.Stop()
	_, err := conn.Connect(t.Context(), conn.Options{URL: server.URL(), Attempts: 3, Backoff: time.Millisecond})
	if !errors.Is(err, conn.ErrUnreachable) || !strings.Contains(err.Error(), "3 attempts") {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conn.Connect(ctx, conn.Options{URL: server.URL()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
