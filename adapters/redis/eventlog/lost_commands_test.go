package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// recordedAs returns an append that records a command, with events that move no entity by which they could be found.
func recordedAs(chat domain.ChatID, id string, events int) ports.Append {
	a := ports.Append{Chat: chat, Command: domain.CommandEntity("ann", domain.CommandID(id)), Fingerprint: 0xfeed}
	for i := range events {
		e := domain.Custom{Chat: chat, Actor: "ann", Type: "a:b", Version: 1, Data: "{}", At: time.Now()}
		a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprintf("e-%s-%d", id, i)), Event: e})
	}
	return a
}

// TestLostReplies_Commands drops one reply in five to appends that record commands, with none, one and several events. Each append returns the right
// place, and each command is applied once.
func TestLostReplies_Commands(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	log := rig.Open(t, rig.Connect(t, proxy.URL()), rig.NewKeys(t, 4))
	chats := []domain.ChatID{"chat-0", "chat-1"}
	for _, chat := range chats {
		rig.Appended(t, log, rig.Created(chat))
	}
	var n, lost atomic.Int64
	drop := func(piece []byte) bool {
		if bytes.HasPrefix(piece, []byte("$")) && n.Add(1)%5 == 0 {
			lost.Add(1)
			return false
		}
		return true
	}
	proxy.Reply.Store(&drop)
	type command struct {
		append ports.Append
		at     ports.Appended
	}
	commands := make([][]command, 16)
	var all sync.WaitGroup
	for w := range commands {
		all.Go(func() {
			for i := range 30 {
				c := command{append: recordedAs(chats[w%2], fmt.Sprintf("%d-%d", w, i), i%4)}
				var err error
				if c.at, err = log.Append(t.Context(), c.append); err != nil {
					t.Errorf("a command with %d events: %v", i%4, err)
				}
				commands[w] = append(commands[w], c)
			}
		})
	}
	all.Wait()
	proxy.Reply.Store(nil)
	if lost.Load() == 0 {
		t.Error("no reply was lost")
	}
	events := make(map[domain.EventID]domain.Seq)
	total := 0
	for _, chat := range chats {
		page, err := log.Read(t.Context(), chat, ports.Range{From: 1, Limit: ports.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records[1:] {
			events[r.ID] = r.Seq
			total++
		}
	}
	for _, mine := range commands {
		for _, c := range mine {
			loaded, err := log.Load(t.Context(), c.append.Chat, ports.LoadRequest{Entity: c.append.Command})
			if err != nil {
				t.Fatal(err)
			}
			count := len(c.append.Events)
			total -= count
			found := loaded.Entities[0]
			if found.Version == 0 || found.Command != (ports.CommandRecord{Fingerprint: 0xfeed, Events: count}) || count > 0 && found.Version != c.at.Last {
				t.Errorf("the command of %+v is recorded as %+v", c.at, found)
			}
			if count == 0 && c.at != (ports.Appended{}) {
				t.Errorf("a command without events is at %+v", c.at)
			}
			for i, e := range c.append.Events {
				if events[e.ID] != c.at.First+domain.Seq(i) {
					t.Errorf("event %s was acknowledged at %d and is at %d", e.ID, c.at.First+domain.Seq(i), events[e.ID])
				}
			}
		}
	}
	if total != 0 {
		t.Errorf("the log has %d events more than were appended", total)
	}
}

// TestLostReplies_OtherCommand loses the reply to a command while another process uses its id, for another or the same command: the first record
// remains.
func TestLostReplies_OtherCommand(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second ports.Append // the first command is not executed
		conflict      bool
	}{
		{"nothing, then something else", recordedAs("c", "id", 0), ports.Append{Chat: "c", Command: domain.CommandEntity("ann", "id"), Fingerprint: 1}, true},
		{"nothing, then events", recordedAs("c", "id", 0), recordedAs("c", "id", 1), true},
		{"events, then nothing", recordedAs("c", "id", 1), recordedAs("c", "id", 0), true},
		{"nothing, then the same", recordedAs("c", "id", 0), recordedAs("c", "id", 0), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Start(t)
			proxy := redistest.StartProxy(t, server)
			keys := rig.NewKeys(t, 1)
			log, direct := rig.Open(t, rig.Connect(t, proxy.URL()), keys), rig.Open(t, rig.Connect(t, server.URL()), keys)
			rig.Appended(t, direct, rig.Created("c"))
			var once atomic.Bool
			lose := func(piece []byte) bool { // drops the request, and with it the reply
				if !bytes.Contains(piece, []byte("=feed")) || !once.CompareAndSwap(false, true) {
					return true
				}
				if _, err := direct.Append(context.Background(), test.second); err != nil { //nolint:usetesting // in the proxy's goroutine
					t.Error(err)
				}
				return false
			}
			proxy.Request.Store(&lose)
			_, err := log.Append(t.Context(), test.first)
			proxy.Request.Store(nil)
			var conflict *ports.ConflictError
			if test.conflict != errors.As(err, &conflict) || !test.conflict && err != nil {
				t.Errorf("error %v, want a conflict: %v", err, test.conflict)
			}
			if !once.Load() {
				t.Error("no request was lost")
			}
		})
	}
}

// TestLateCommand delays an append of a command without events until it has been sent again: the late sending does nothing.
func TestLateCommand(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	client, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL(), Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("c"))
	release, answer := make(chan struct{}), make(chan []byte, 1)
	var held atomic.Bool
	hold := func(piece []byte) bool {
		if bytes.Contains(piece, []byte("=feed")) && held.CompareAndSwap(false, true) {
			<-release
		}
		return true
	}
	proxy.Request.Store(&hold)
	if at, err := log.Append(t.Context(), recordedAs("c", "late", 0)); err != nil || at != (ports.Appended{}) || !held.Load() {
		t.Fatalf("held back %v, at %+v, error %v", held.Load(), at, err)
	}
	listen := func(piece []byte) bool {
		answer <- bytes.Clone(piece)
		return true
	}
	proxy.Reply.Store(&listen)
	close(release)
	select {
	case said := <-answer:
		if !bytes.Contains(said, []byte("-2")) {
			t.Errorf("the late sending was answered with %q", said)
		}
	case <-time.After(wait.Limit):
		t.Fatal("the late sending was not answered")
	}
}
