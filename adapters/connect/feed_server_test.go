package connect_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"chatcore"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// resuming reads a feed of one chat from one instance after another, each time that it ends. SSE feeds resume from their last id, others from their seq.
type resuming struct {
	client    feedClient
	instances []*instance
	header    http.Header
	chat      string

	seqs []uint32 // that were received
	ends []string // reasons of the ends
}

// run reads until the message last is received.
func (r *resuming) run(ctx context.Context, last string) error {
	id := ""
	for n := 0; ; n++ {
		header := r.header.Clone()
		after := uint32(0)
		if len(r.seqs) > 0 {
			after = r.seqs[len(r.seqs)-1]
		}
		if strings.HasPrefix(r.client.name, "server-sent") {
			if after = 0; id != "" {
				header.Set("Last-Event-ID", id)
			}
		}
		f, err := r.client.open(ctx, "http://"+r.instances[n%len(r.instances)].address, &v1.WatchRequest{Chats: []*v1.ChatPosition{{ChatId: r.chat, AfterSeq: &after}}}, header)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			continue // the instance is away
		}
		for {
			m, err := f.next()
			if err != nil {
				if refused, ok := errorAs[*refusal](err); ok {
					r.ends = append(r.ends, refused.detail.GetReason())
				} else {
					r.ends = append(r.ends, "connection")
				}
				break
			}
			if events, ok := f.(*eventFeed); ok {
				id = events.id
			}
			if e := m.GetEvent(); e != nil {
				r.seqs = append(r.seqs, e.GetSeq())
				if e.GetMessageNew().GetMessageId() == last {
					f.close()
					return nil
				}
			}
		}
		f.close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// TestFeed_ResumesOnAnotherInstance stops one instance after another while messages are sent: every feed ends with draining, and continues elsewhere without a gap or a double.
func TestFeed_ResumesOnAnotherInstance(t *testing.T) {
	token, entry, err := auth.NewServiceToken("reader", auth.Scopes{auth.ScopeChatsRead})
	did(t, err)
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	did(t, err)
	var instances []*instance
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Start(t).URL(), Namespace: "feeds-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 2}}
	for range 2 {
		i := &instance{t: t, config: config, tokens: tokens, address: "127.0.0.1:0"}
		i.start(10 * time.Second)
		instances = append(instances, i)
	}
	_, err = instances[0].core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"})
	did(t, err)
	var readers []*resuming
	var reading sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	for _, c := range feedClients(t) {
		r := &resuming{client: c, instances: instances, header: withToken(string(token)), chat: "c"}
		readers = append(readers, r)
		reading.Go(func() {
			if err := r.run(ctx, "last"); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
	send := func(from *instance, id string) {
		_, err := from.core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: domain.MessageID(id), Content: "x"})
		did(t, err)
	}
	for round := range 3 {
		away, stays := instances[round%2], instances[(round+1)%2]
		wait.Until(t, "feeds are open", func() bool { return away.core.Feeds.Stats().Feeds+stays.core.Feeds.Stats().Feeds == len(readers) })
		for n := range 20 {
			send(stays, fmt.Sprint("m", round, "-", n))
			if n == 10 {
				away.end()
			}
		}
		away.start(10 * time.Second)
	}
	send(instances[0], "last")
	reading.Wait()
	for _, i := range instances {
		i.end()
	}
	for _, r := range readers {
		for i, seq := range r.seqs {
			if seq != uint32(i+1) {
				t.Errorf("%s: event %d has the seq %d", r.client.name, i+1, seq)
				break
			}
		}
		if len(r.seqs) != 62 || len(r.ends) == 0 {
			t.Errorf("%s: %d events, ends %q", r.client.name, len(r.seqs), r.ends)
		}
		for _, end := range r.ends {
			if end != "draining" {
				t.Errorf("%s ended with %q", r.client.name, end)
			}
		}
	}
}

// silentEvents opens a feed over HTTP/1.1 and reads only its first event. It has no goroutine.
func silentEvents(t *testing.T, w *world, query, token string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	did(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /v1/feed?%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", query, token)
	did(t, err)
	lines := bufio.NewReaderSize(conn, 16)
	for {
		line, err := lines.ReadString('\n')
		did(t, err)
		if strings.HasPrefix(line, "data: ") {
			return conn
		}
	}
}

// TestFeed_SlowReader has a client read nothing while large messages come: its feed ends, what is kept for it is bounded, and a quick reader gets all.
func TestFeed_SlowReader(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	silentEvents(t, w, "chat="+chat, w.token(t, "bob"))
	quick := feedClients(t)[0].opened(t, w, oneChat(chat), withToken(w.token(t, "bob")))
	var sent int
	received := make(chan error, 1)
	go func() {
		for last := uint32(2); ; {
			m, err := quick.next()
			if err != nil {
				received <- err
				return
			}
			e := m.GetEvent()
			if e == nil {
				continue
			}
			if last++; e.GetSeq() != last {
				received <- fmt.Errorf("seq %d after %d", e.GetSeq(), last-1)
				return
			}
			if e.GetMessageNew().GetMessageId() == "last" {
				received <- nil
				return
			}
		}
	}()
	send := func(id string) {
		_, err := w.core.Chats.Send(t.Context(), domain.Send{Chat: domain.ChatID(chat), Actor: "ada", MessageID: domain.MessageID(id), Content: strings.Repeat("x", 3000)})
		did(t, err)
	}
	wait.Until(t, "the slow feed has ended", func() bool {
		if sent < 20_000 {
			send(fmt.Sprint("m", sent))
			sent++
		}
		return w.core.Feeds.Stats().Feeds == 1
	})
	send("last")
	if err := <-received; err != nil {
		t.Error(err)
	}
	if kept := sent * 3000; kept > 40<<20 {
		t.Errorf("the slow feed ended after %d MiB", kept>>20)
	}
}

// TestFeed_Goroutines opens 1,000 feeds over HTTP/1.1: each has the two goroutines of net/http, and they end with it.
func TestFeed_Goroutines(t *testing.T) {
	const feeds, users = 1000, 10
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	tokens := make([]string, users)
	for i := range tokens {
		user := domain.UserID(fmt.Sprint("user", i))
		_, err := w.core.Chats.Add(t.Context(), domain.Add{Chat: domain.ChatID(chat), Actor: "ada", User: user})
		did(t, err)
		tokens[i] = w.token(t, user)
	}
	silentEvents(t, w, "chat="+chat, tokens[0])
	did(t, w.core.WaitIdle(t.Context())) // the groups have begun to read: each has goroutines of its own
	before := runtime.NumGoroutine()
	conns := make([]net.Conn, 0, feeds)
	for i := 1; i < feeds; i++ {
		conns = append(conns, silentEvents(t, w, "chat="+chat, tokens[i%users]))
	}
	if n := runtime.NumGoroutine() - before; n > 2*(feeds-1)+20 {
		t.Errorf("%d feeds have %d goroutines", feeds-1, n)
	}
	refused, _ := w.refusedEvents(t, "chat="+chat, withToken(tokens[1]))
	if refused == nil || refused.detail.GetReason() != "too_many_streams" || refused.code.String() != "resource_exhausted" {
		t.Errorf("feed 101 of a user: %v", refused)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	wait.Until(t, "the feeds have ended", func() bool { return w.core.Feeds.Stats().Feeds == 1 && runtime.NumGoroutine() < before+20 })
}

// TestFeed_IsNotBoundAsACall lets the deadline of unary calls that a client names pass: only that of the client bounds a stream.
func TestFeed_ClientDeadline(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	for _, c := range feedClients(t)[:4] {
		f, err := c.open(ctx, w.url, &v1.WatchRequest{Chats: []*v1.ChatPosition{{ChatId: w.chat(t), AfterSeq: proto.Uint32(0)}}}, nil)
		for err == nil {
			_, err = f.next()
		}
		if r, _ := errorAs[*refusal](err); r == nil || r.code.String() != "deadline_exceeded" && r.code.String() != "canceled" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
