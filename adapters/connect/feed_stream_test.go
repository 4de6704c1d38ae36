package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatcore/app/feed"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// feedWorld is a world whose feeds the test writes.
func feedWorld(t *testing.T, change ...func(*worldConfig)) (*world, *scriptedFeeds) {
	t.Helper()
	feeds := newScriptedFeeds()
	c := worldConfig{api: feeds.config()}
	for _, f := range change {
		f(&c)
	}
	return memoryWorld(t, c), feeds
}

func oneChat(chat string) *v1.WatchRequest {
	return &v1.WatchRequest{Chats: []*v1.ChatPosition{{ChatId: chat}}}
}

// opened opens a feed, and returns it after its first message.
func (c feedClient) opened(t *testing.T, w *world, req *v1.WatchRequest, header http.Header) feedReader {
	t.Helper()
	f, err := c.open(t.Context(), w.url, req, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	if m, err := f.next(); err != nil || m.GetStarted().GetLogId() == "" {
		t.Fatalf("the first message is %v, error %v", m, err)
	}
	return f
}

// receives checks the next messages of a feed.
func receives(t *testing.T, f feedReader, want ...*v1.WatchResponse) {
	t.Helper()
	for _, w := range want {
		if m, err := f.next(); err != nil || !proto.Equal(m, w) {
			t.Fatalf("got %v, error %v, want %v", m, err, w)
		}
	}
}

// endsWith checks that a feed ends with an error that has the reason.
func endsWith(t *testing.T, f feedReader, code, reason string, retryable bool) {
	t.Helper()
	for {
		m, err := f.next()
		if err == nil {
			t.Logf("before the end: %.200v", m)
			continue
		}
		r, ok := errorAs[*refusal](err)
		if !ok || r.code.String() != code || r.detail.GetReason() != reason || r.detail.GetRetryable() != retryable {
			t.Errorf("the feed ended with %v, want %s (%s)", err, code, reason)
		}
		return
	}
}

// TestWatch_Messages sends a message of each kind through every protocol.
func TestWatch_Messages(t *testing.T) {
	w, feeds := feedWorld(t)
	at := time.UnixMilli(1_700_000_000_123).UTC()
	deleted := eventOf("c", 8, 0)
	deleted.Event.Redacted = true
	ephemeral := func(e domain.Ephemeral) feed.Message {
		return feed.Message{Kind: feed.KindEphemeral, Ephemeral: &feed.Ephemeral{Event: e}}
	}
	given := []feed.Message{
		eventOf("c", 7, 3), deleted,
		ephemeral(domain.TypingStart{Chat: "c", User: "bob", ExpiresAt: at}), ephemeral(domain.TypingStop{Chat: "c", User: "bob"}),
		ephemeral(domain.UserStatus{User: "bob", Status: domain.Busy, LastSeen: at}),
		{Kind: feed.KindCaughtUp, Chat: "c", To: 8},
		{Kind: feed.KindSkipped, Chat: "c", From: 9, To: 11},
		{Kind: feed.KindChatJoined, Chat: "d", To: 2},
		{Kind: feed.KindChatLeft, Chat: "d", To: 5},
		{Kind: feed.KindResync, Chat: "c", To: 1},
		{Kind: feed.KindResync},
		{Kind: feed.KindHeartbeat},
	}
	message := func(seq uint32, content string, redacted bool) *v1.WatchResponse {
		return &v1.WatchResponse{Message: &v1.WatchResponse_Event{Event: &v1.Event{
			Id: "event", ChatId: "c", Seq: seq, Type: "message:new", ActorId: "ada", Redacted: redacted,
			Event: &v1.Event_MessageNew{MessageNew: &v1.MessageNew{MessageId: "m", Content: content}},
		}}}
	}
	want := []*v1.WatchResponse{
		message(7, "xxx", false), message(8, "", true),
		{Message: &v1.WatchResponse_TypingStarted{TypingStarted: &v1.TypingStarted{ChatId: "c", UserId: "bob", ExpiresAt: timestamppb.New(at)}}},
		{Message: &v1.WatchResponse_TypingStopped{TypingStopped: &v1.TypingStopped{ChatId: "c", UserId: "bob"}}},
		{Message: &v1.WatchResponse_UserStatus{UserStatus: &v1.UserStatus{UserId: "bob", Status: v1.Status_STATUS_BUSY, LastSeenAt: timestamppb.New(at)}}},
		{Message: &v1.WatchResponse_CaughtUp{CaughtUp: &v1.CaughtUp{ChatId: "c", Seq: 8}}},
		{Message: &v1.WatchResponse_Skipped{Skipped: &v1.Skipped{ChatId: "c", FromSeq: 9, ToSeq: 11}}},
		{Message: &v1.WatchResponse_ChatJoined{ChatJoined: &v1.ChatJoined{ChatId: "d", Seq: 2}}},
		{Message: &v1.WatchResponse_ChatLeft{ChatLeft: &v1.ChatLeft{ChatId: "d", Seq: 5}}},
		{Message: &v1.WatchResponse_Resync{Resync: &v1.Resync{ChatId: "c", Seq: 1}}},
		{Message: &v1.WatchResponse_Resync{Resync: &v1.Resync{}}},
		{Message: &v1.WatchResponse_Heartbeat{Heartbeat: &v1.Heartbeat{}}},
	}
	for _, c := range feedClients(t) {
		t.Run(c.name, func(t *testing.T) {
			f := c.opened(t, w, oneChat("c"), nil)
			source := feeds.take(t)
			for _, m := range given {
				source.messages <- m
			}
			receives(t, f, want...)
			f.close()
			<-source.closed
		})
	}
	for _, format := range []string{"proto", "json"} {
		if _, err := given[0].Event.Encoded(format, func() ([]byte, error) { return nil, errors.New("not encoded before") }); err != nil {
			t.Errorf("%s: the feeds do not share the encoding: %v", format, err)
		}
	}
}

// TestWatch_Ends ends feeds of every protocol with each error of the engine.
func TestWatch_Ends(t *testing.T) {
	w, feeds := feedWorld(t)
	for _, c := range feedClients(t) {
		for _, end := range []struct {
			err          error
			code, reason string
			retryable    bool
		}{
			{feed.ErrSlow, "resource_exhausted", "slow_feed", true},
			{feed.ErrEnded, "unavailable", "feed_ended", true},
			{fmt.Errorf("chat: %w", ports.ErrCorrupt), "data_loss", "corrupt", false},
			{ports.ErrLogLost, "data_loss", "log_lost", false},
			{errors.New("secret"), "internal", "internal", false},
		} {
			t.Run(c.name+"/"+end.reason, func(t *testing.T) {
				f := c.opened(t, w, oneChat("c"), nil)
				source := feeds.take(t)
				source.messages <- eventOf("c", 1, 1)
				if m, err := f.next(); m.GetEvent().GetSeq() != 1 {
					t.Fatal(m, err)
				}
				source.ended <- end.err
				endsWith(t, f, end.code, end.reason, end.retryable)
				<-source.closed
			})
		}
		t.Run(c.name+"/beyond the numbers of the API", func(t *testing.T) {
			f := c.opened(t, w, oneChat("c"), nil)
			feeds.take(t).messages <- eventOf("c", 1<<32, 1)
			endsWith(t, f, "out_of_range", "number_range", false)
		})
	}
}

// TestWatch_Draining has the server begin to stop: all feeds end, those that are idle and those that are opened later, with a status that may be resumed.
func TestWatch_Draining(t *testing.T) {
	draining := make(chan struct{})
	w, feeds := feedWorld(t, func(c *worldConfig) { c.api.Draining = draining })
	var open []feedReader
	for _, c := range feedClients(t) {
		open = append(open, c.opened(t, w, oneChat("c"), nil))
		defer func() { <-feeds.take(t).closed }()
	}
	close(draining)
	for _, f := range open {
		endsWith(t, f, "unavailable", "draining", true)
	}
	late, err := feedClients(t)[0].open(t.Context(), w.url, oneChat("c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.close)
	endsWith(t, late, "unavailable", "draining", true)
}

// countedWrites counts the writes and flushes of responses.
type countedWrites struct {
	http.ResponseWriter
	writes, flushes *atomic.Int64
}

func (c countedWrites) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.ResponseWriter.Write(p)
}

func (c countedWrites) FlushError() error {
	c.flushes.Add(1)
	return http.NewResponseController(c.ResponseWriter).Flush()
}

func (c countedWrites) Flush()                      { _ = c.FlushError() }
func (c countedWrites) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestWatch_Batches gives 1,000 small messages that are ready at once, and 64 of 64 KiB: they take one write for each 64 KiB.
func TestWatch_Batches(t *testing.T) {
	var writes, flushes atomic.Int64
	w, feeds := feedWorld(t, func(c *worldConfig) {
		c.wrap = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(countedWrites{w, &writes, &flushes}, r) })
		}
	})
	for _, c := range feedClients(t) {
		for bytes, want := range map[int]int64{10: 5, 64 << 10: 70} {
			t.Run(fmt.Sprint(c.name, "/", bytes), func(t *testing.T) {
				f := c.opened(t, w, oneChat("c"), nil)
				source := feeds.take(t)
				n := 1000
				if bytes > 10 {
					n = 64
				}
				source.messages <- feed.Message{Kind: feed.KindHeartbeat}
				if _, err := f.next(); err != nil {
					t.Fatal(err)
				}
				source.mu.Lock() // the feed gives no message until all are ready
				writes.Store(0)
				flushes.Store(0)
				for i := range n {
					source.messages <- eventOf("c", domain.Seq(i+2), bytes)
				}
				source.mu.Unlock()
				for i := range n {
					if m, err := f.next(); err != nil || m.GetEvent().GetSeq() != uint32(i+2) {
						t.Fatal(m, err)
					}
				}
				if writes.Load() > want || flushes.Load() > want {
					t.Errorf("%d messages took %d writes and %d flushes, want at most %d", n, writes.Load(), flushes.Load(), want)
				}
			})
		}
	}
}

// TestWatch_IsNotCompressed asks for gzip: a large event comes as it is, since it is encoded once for all feeds.
func TestWatch_IsNotCompressed(t *testing.T) {
	w, feeds := feedWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/chatcore.v1.FeedService/Watch", bytesOf(envelope([]byte(`{"chats":[{"chatId":"c"}]}`))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/connect+json"}, "Connect-Accept-Encoding": {"gzip"}}
	answer, err := w.client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	feeds.take(t).messages <- eventOf("c", 1, 10_000)
	for range 2 {
		flags, _ := readEnvelope(t, answer.Body)
		if flags != 0 {
			t.Errorf("a message has the flags %d", flags)
		}
	}
}
