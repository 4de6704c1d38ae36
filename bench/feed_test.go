package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// feedWay is a way from a sender to a reader. Both are in this process, at different instances, and Redis lies between them.
type feedWay struct {
	send    func(ctx context.Context, id string) error
	arrived <-chan string // ids of the messages, in the order of their arrival
}

// BenchmarkFeedLatency measures the time from before a send to the arrival at a feed, 300 sends a second whatever the answers, beside Centrifuge's from
// publish to subscriber. The senders and readers of both are in this process.
func BenchmarkFeedLatency(b *testing.B) {
	const rate, each = 300, 3 * time.Second
	server, _ := start(b)
	ways := map[string]feedWay{"chatcore": chatcoreWay(b, server), "Centrifuge": centrifugeWay(b, server)}
	p50, p99, all := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	round := 0
	for b.Loop() {
		for range rounds {
			round++
			for name, way := range ways {
				took := openLoop(b, way, fmt.Sprint("r", round, name), rate, int(rate*each.Seconds()))
				all[name] = append(all[name], took...)
				p50[name], p99[name] = append(p50[name], percentile(took, 0.5)), append(p99[name], percentile(took, 0.99))
			}
		}
	}
	plotLatencies(b, "feed-latency", "From a send to a feed, 300 sends a second", all)
	for name := range ways {
		b.Logf("%-10s p50 %5.2f ms, p99 %6.2f ms", name, median(p50[name]), median(p99[name]))
	}
	b.ReportMetric(median(p50["chatcore"])/median(p50["Centrifuge"]), "×Centrifuge/p50")
	b.ReportMetric(median(p99["chatcore"])/median(p99["Centrifuge"]), "×Centrifuge/p99")
}

// openLoop sends n messages at a rate, and returns the time of each from when it was due until it arrived, in ms.
func openLoop(b *testing.B, way feedWay, prefix string, rate, n int) []float64 {
	b.Helper()
	due := make(map[string]time.Time, n)
	began := time.Now().Add(10 * time.Millisecond)
	for i := range n {
		due[fmt.Sprint(prefix, "-", i)] = began.Add(time.Duration(i) * time.Second / time.Duration(rate))
	}
	var sends sync.WaitGroup
	sends.Go(func() {
		for i := range n {
			id := fmt.Sprint(prefix, "-", i)
			time.Sleep(time.Until(due[id]))
			sends.Go(func() {
				if err := way.send(b.Context(), id); err != nil {
					b.Error(err)
				}
			})
		}
	})
	took := make([]float64, 0, n)
	late := time.After(time.Minute)
	for len(took) < n {
		select {
		case id := <-way.arrived:
			if at, ours := due[id]; ours {
				took = append(took, float64(time.Since(at).Microseconds())/1e3)
			}
		case <-late:
			b.Fatalf("%d of %d messages have arrived", len(took), n)
		}
	}
	sends.Wait()
	return took
}

// chatcoreWay sends on one core, and reads a feed over HTTP/1.1 from another.
func chatcoreWay(b *testing.B, server *redistest.Server) feedWay {
	b.Helper()
	sending, serving := open(b, server, chatcore.Config{}), open(b, server, chatcore.Config{})
	chat := chats(b, sending, 1)[0]
	arrived := make(chan string, 1024)
	events := readFeed(b, "http://"+serveAPI(b, serving)+"/v1/feed?chat="+string(chat))
	go func() {
		for event := range events {
			if id := event.Event.MessageNew.MessageID; id != "" {
				arrived <- id
			}
		}
	}()
	return feedWay{arrived: arrived, send: func(ctx context.Context, id string) error {
		_, err := sending.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: domain.MessageID(id), Content: content})
		return err
	}}
}

// feedMessage is what the benchmarks read of a feed's message.
type feedMessage struct {
	Event struct {
		Seq        uint32 `json:"seq"`
		MessageNew struct {
			MessageID string `json:"messageId"`
		} `json:"messageNew"`
	} `json:"event"`
	CaughtUp *struct {
		ChatID string `json:"chatId"`
	} `json:"caughtUp"`
}

// readFeed returns the messages of a feed of server-sent events, once the feed has caught up.
func readFeed(b *testing.B, url string) <-chan feedMessage {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // by the goroutine
	if err != nil {
		b.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		b.Fatal(res.Status)
	}
	messages, live, ended := make(chan feedMessage, 1024), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(messages)
		defer func() { _ = res.Body.Close() }()
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			data, is := strings.CutPrefix(lines.Text(), "data:")
			if !is {
				continue
			}
			var message feedMessage
			if err := json.Unmarshal([]byte(data), &message); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
				b.Error(err)
			}
			if message.CaughtUp != nil {
				close(live)
			}
			messages <- message
		}
	}()
	b.Cleanup(func() {
		stop()
		for range messages { // until the reader has ended
		}
		<-ended
	})
	select {
	case <-live:
	case <-time.After(time.Minute):
		b.Fatal("the feed has not caught up")
	}
	return messages
}
