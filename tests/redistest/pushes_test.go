package redistest_test

import (
	"fmt"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestProxy_LosesMessages loses messages of one channel, on connections of both protocols. Everything else arrives.
func TestProxy_LosesMessages(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	lose := func(channel string) bool { return channel == "lost" }
	proxy.Lose.Store(&lose)
	for _, protocol := range []int{2, 3} {
		options, err := goredis.ParseURL(proxy.URL())
		if err != nil {
			t.Fatal(err)
		}
		options.Username, options.Password = redistest.Credentials()
		options.Protocol = protocol
		client := goredis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		sub := client.Subscribe(t.Context(), "lost", "kept")
		t.Cleanup(func() { _ = sub.Close() })
		messages := sub.Channel()
		wait.Until(t, "both channels are subscribed", func() bool {
			return server.Client(t).PubSubNumSub(t.Context(), "lost", "kept").Val()["kept"] > 0
		})
		var want, got []string
		for i := range 100 {
			text := fmt.Sprint(i, "\r\n*3\r\n") // no frame inside of a payload counts
			for _, channel := range []string{"lost", "kept"} {
				if err := client.Publish(t.Context(), channel, text).Err(); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, text)
		}
		for range want {
			got = append(got, (<-messages).Payload)
		}
		if !slices.Equal(got, want) {
			t.Errorf("protocol %d: %d messages are %q", protocol, len(got), got)
		}
		if nested := client.Eval(t.Context(), `return {1, {"a", {}}, false, "b"}`, nil); nested.Err() != nil || fmt.Sprint(nested.Val()) != "[1 [a []] <nil> b]" {
			t.Errorf("protocol %d: a nested reply is %v", protocol, nested)
		}
		_ = sub.Close()
	}
}
