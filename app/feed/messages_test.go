package feed_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/app"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// TestFeed_Beginning lists the first messages of feeds, of a chat with ten events: it was created, bob was added at seq 2 and removed at seq 6; cem was
// added at 3, removed at 5 and added again at 8.
func TestFeed_Beginning(t *testing.T) {
	setup := func(r *rig) {
		r.append(created("c", "owner"), added("c", "bob"), added("c", "cem"), sent("c", "m4"), removed("c", "cem"), removed("c", "bob"), sent("c", "m7"))
		r.append(added("c", "cem"), sent("c", "m9"), sent("c", "m10"))
	}
	all := func(user domain.UserID, resume bool, positions ...feed.Position) feed.Request {
		return feed.Request{User: user, AllChats: true, Resume: resume, Chats: positions}
	}
	other := func(r feed.Request) feed.Request {
		r.LogID = "another log"
		return r
	}
	few := func(r feed.Request) feed.Request {
		r.MaxCatchUp = 3
		return r
	}
	for name, test := range map[string]struct {
		request feed.Request
		want    []string
	}{
		"a service from a seq":               {named("", from("c", 8)), []string{"event c 9", "event c 10", "caught_up c 10"}},
		"a service from the head":            {named("", head("c")), []string{"caught_up c 10"}},
		"a service at the head":              {named("", from("c", 10)), []string{"caught_up c 10"}},
		"a service, of no chat yet":          {named("", from("new", 0)), []string{"caught_up new 0"}},
		"beyond the head":                    {named("", from("c", 11)), []string{"resync c 10", "caught_up c 10"}},
		"far beyond the head":                {named("owner", from("c", 1<<40)), []string{"resync c 10", "caught_up c 10"}},
		"of another log":                     {other(named("owner", from("c", 8))), []string{"resync  0", "caught_up c 10"}},
		"too many missed":                    {few(named("owner", from("c", 1))), []string{"skipped c 2-7", "event c 8", "event c 9", "event c 10", "caught_up c 10"}},
		"as many missed as allowed":          {few(named("owner", from("c", 7))), []string{"event c 8", "event c 9", "event c 10", "caught_up c 10"}},
		"a former member":                    {named("bob", from("c", 4)), []string{"event c 5", "event c 6", "left c 6"}},
		"a former member, from the head":     {named("bob", head("c")), []string{"left c 6"}},
		"a former member at the removal":     {named("bob", from("c", 6)), []string{"left c 6"}},
		"a former member with many missed":   {few(named("bob", from("c", 1))), []string{"skipped c 2-3", "event c 4", "event c 5", "event c 6", "left c 6"}},
		"a member again":                     {named("cem", from("c", 4)), []string{"event c 5", "event c 6", "event c 7", "event c 8", "event c 9", "event c 10", "caught_up c 10"}},
		"all chats":                          {all("cem", false), []string{"caught_up c 10"}},
		"all chats with a position":          {all("cem", false, from("c", 9)), []string{"event c 10", "caught_up c 10"}},
		"all chats, resumed before it":       {all("cem", true), []string{"joined c 7", "event c 8", "event c 9", "event c 10", "caught_up c 10"}},
		"all chats, resumed":                 {all("cem", true, from("c", 9)), []string{"event c 10", "caught_up c 10"}},
		"all chats of a former member":       {all("bob", true, from("c", 5)), []string{"event c 6", "left c 6"}},
		"all chats, one unknown":             {all("cem", true, from("c", 10), from("no", 3)), []string{"left no 3", "caught_up c 10"}},
		"all chats of another log, resumed":  {other(all("cem", true)), []string{"resync  0", "caught_up c 10"}},
		"all chats of a user without chats":  {all("dan", false), nil},
		"all chats of another log, with one": {other(all("cem", true, from("c", 5))), []string{"resync  0", "caught_up c 10"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				if test.request.User == "dan" {
					r.append(created("d", "dan"))
					r.append(removed("d", "dan"))
				}
				setup(r)
				f := r.open(test.request)
				expect(t, f, test.want...)
				if f.LogID() != r.log.ID() {
					t.Errorf("the feed is of log %q, want %q", f.LogID(), r.log.ID())
				}
			})
		})
	}
}

func TestOpen_Errors(t *testing.T) {
	many := make([]feed.Position, 4)
	for i := range many {
		many[i] = head(domain.ChatID(fmt.Sprint("c", i)))
	}
	for name, test := range map[string]struct {
		request feed.Request
		want    error
		text    string
	}{
		"no chats":              {feed.Request{}, domain.ErrInvalid, "chats is empty"},
		"too many chats":        {named("", many...), domain.ErrInvalid, "chats has 4 chats; allowed: at most 3"},
		"too many of a user":    {feed.Request{User: "rich", AllChats: true}, domain.ErrInvalid, "allChats has 4 chats"},
		"a chat twice":          {named("", head("c"), from("c", 1)), domain.ErrInvalid, `has chat "c" twice`},
		"a malformed chat":      {named("", head("a b")), domain.ErrInvalid, "chatId"},
		"a malformed user":      {named("a b", head("c")), domain.ErrInvalid, "userId"},
		"all chats of nobody":   {feed.Request{AllChats: true}, domain.ErrInvalid, "allChats has no user"},
		"resume of named chats": {feed.Request{Resume: true, Chats: many[:1]}, domain.ErrInvalid, "resume"},
		"too much to catch up":  {feed.Request{MaxCatchUp: 10_001, Chats: many[:1]}, domain.ErrInvalid, "maxCatchUp is 10001; allowed: 0 to 10000"},
		"negative catch up":     {feed.Request{MaxCatchUp: -1, Chats: many[:1]}, domain.ErrInvalid, "maxCatchUp is -1"},
		"an outsider":           {named("eve", head("c")), domain.ErrChatNotFound, `there is no chat "c" that user "eve" may read`},
		"one chat of an outsider": {
			named("rich", head("c0"), head("c")), domain.ErrChatNotFound, `there is no chat "c" that user "rich" may read`,
		},
		"no such chat": {named("eve", head("no")), domain.ErrChatNotFound, `there is no chat "no" that user "eve" may read`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{MaxChats: 3}, func(t *testing.T, r *rig) {
				r.append(created("c", "owner"))
				for _, p := range many {
					r.append(created(p.Chat, "rich"))
				}
				f, err := r.hub.Open(t.Context(), test.request)
				if f != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("open returned %v, the error %v, want %v with %q", f, err, test.want, test.text)
				}
				if s := r.hub.Stats(); s.Feeds != 0 || s.Chats != 0 || r.tail.watched.Load() != 0 {
					t.Errorf("the feed that did not open leaves %+v, %d watches", s, r.tail.watched.Load())
				}
			})
		})
	}
	t.Run("no tail", func(t *testing.T) {
		h := feed.NewHub(feed.Dependencies{}, feed.Config{})
		if _, err := h.Open(t.Context(), named("", head("c"))); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), "EventLog.Tail") {
			t.Errorf("the error is %v", err)
		}
		h.Close()
	})
	t.Run("the tail fails", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"))
			err := ports.ErrUnavailable
			r.tail.err.Store(&err)
			if _, err := r.hub.Open(t.Context(), named("owner", head("c"))); !errors.Is(err, ports.ErrUnavailable) {
				t.Errorf("the error is %v", err)
			}
			r.tail.err.Store(nil)
			expect(t, r.open(named("owner", head("c"))), "caught_up c 1")
		})
	})
	t.Run("the log fails", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"))
			r.log.fails(ports.ErrUnavailable)
			for _, user := range []domain.UserID{"", "owner"} {
				if _, err := r.hub.Open(t.Context(), named(user, head("c"))); !errors.Is(err, ports.ErrUnavailable) {
					t.Errorf("the error is %v", err)
				}
			}
			r.log.fails(nil)
		})
	})
	t.Run("the context has ended", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.hub.Open(ctx, named("", head("c"))); !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
		})
	})
	t.Run("the context ends while the partition is not watched yet", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.tail.block = make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.hub.Open(ctx, named("", head("c"))); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			close(r.tail.block)
			synctest.Wait()
			if n := r.tail.watched.Load(); n != 0 {
				t.Errorf("%d things are watched for no feed", n)
			}
			expect(t, r.open(named("", head("c"))), "caught_up c 0")
		})
	})
	t.Run("the hub is closed", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := r.open(named("", head("c")))
			r.hub.Close()
			if _, err := r.hub.Open(t.Context(), named("", head("c"))); !errors.Is(err, feed.ErrEnded) {
				t.Errorf("the error is %v", err)
			}
			if _, err := f.Next(t.Context()); !errors.Is(err, feed.ErrEnded) {
				t.Errorf("the error of the open feed is %v", err)
			}
		})
	})
}

// TestPositions_UntilChatLeft keeps the position of a chat until the reader has its chat_left: a feed from that position gives it too.
func TestPositions_UntilChatLeft(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"))
		f := r.open(named("bob", head("c")))
		expect(t, f, "caught_up c 2")
		r.append(removed("c", "bob"))
		if m := next(f); m != "event c 3" {
			t.Fatal(m)
		}
		if got := maps.Collect(f.Positions()); len(got) != 1 || got["c"] != 3 {
			t.Errorf("the positions before chat_left are %v", got)
		}
		expect(t, r.open(named("bob", from("c", 3))), "left c 3")
		expect(t, f, "left c 3")
		if got := maps.Collect(f.Positions()); len(got) != 0 {
			t.Errorf("the positions after chat_left are %v", got)
		}
	})
}

// TestFeed_FormerMembersNothing has users that may not read what they once could.
func TestFeed_FormerMembersNothing(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"))
		h := r.newHub(feed.Config{Heartbeat: time.Hour}, app.FormerMembersNothing)
		defer h.Close()
		f, err := h.Open(t.Context(), named("bob", head("c")))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, f, "caught_up c 2")
		r.append(removed("c", "bob"), sent("c", "secret"))
		expect(t, f, "event c 3", "left c 3")
		if _, err := h.Open(t.Context(), named("bob", from("c", 2))); !errors.Is(err, domain.ErrChatNotFound) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestFeed_Heartbeat(t *testing.T) {
	bubble(t, feed.Config{Heartbeat: 15 * time.Second}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 1", "...")
		began := time.Now()
		for i := 1; i <= 3; i++ {
			m, err := f.Next(t.Context())
			if err != nil || m.Kind != feed.KindHeartbeat || time.Since(began) != time.Duration(i)*15*time.Second {
				t.Fatalf("after %v came %q, error %v", time.Since(began), show(m), err)
			}
		}
		time.Sleep(14 * time.Second)
		r.messages("c", 1)
		expect(t, f, "event c 2", "...")
		began = time.Now()
		if m, err := f.Next(t.Context()); err != nil || m.Kind != feed.KindHeartbeat || time.Since(began) != 15*time.Second {
			t.Errorf("%v after an event came %q, error %v", time.Since(began), show(m), err)
		}
	})
}

// TestFeed_Outage has a feed catch up while the log cannot be read: the reader sees heartbeats and live events of other chats, and then all.
func TestFeed_Outage(t *testing.T) {
	bubble(t, feed.Config{Heartbeat: 15 * time.Second}, func(t *testing.T, r *rig) {
		r.append(created("a", "owner"))
		r.append(created("b", "owner"))
		r.messages("a", 5)
		f := r.open(named("", from("a", 0), head("b")))
		expect(t, f, "...")
		r.log.fails(ports.ErrUnavailable)
		expect(t, f, "caught_up b 1", "...")
		r.messages("b", 1)
		expect(t, f, "event b 2", "...")
		began := time.Now()
		for range 8 {
			m, err := f.Next(t.Context())
			if err != nil || m.Kind != feed.KindHeartbeat {
				t.Fatalf("%q, error %v", show(m), err)
			}
		}
		if reads := r.log.reads.Load(); time.Since(began) != 2*time.Minute || reads < 20 || reads > 100 {
			t.Errorf("%d reads in %v", reads, time.Since(began))
		}
		r.log.fails(nil)
		expect(t, f, events("a", 1, 6, "caught_up a 6")...)
	})
}

// TestFeed_LogErrors has the log return errors that end a feed.
func TestFeed_LogErrors(t *testing.T) {
	for _, test := range []struct{ err, want error }{
		{&ports.CorruptError{Chat: "a", Seq: 1}, ports.ErrCorrupt}, {ports.ErrLogLost, ports.ErrLogLost}, {ports.ErrClosed, feed.ErrEnded},
	} {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("a", "owner"), sent("a", "m"))
			f := r.open(named("", from("a", 1)))
			r.log.fails(test.err)
			for range 2 {
				if _, err := f.Next(t.Context()); !errors.Is(err, test.want) {
					t.Errorf("the error is %v, want %v", err, test.want)
				}
			}
			synctest.Wait()
			if s := r.hub.Stats(); s.Feeds != 0 || s.Chats != 0 {
				t.Errorf("the ended feed leaves %+v", s)
			}
			for c, seq := range f.Positions() {
				if c != "a" || seq != 1 {
					t.Errorf("the position is %d of chat %q", seq, c)
				}
			}
		})
	}
}

// TestFeed_NextEndsWithItsContext has a feed go on after a Next whose context has ended.
func TestFeed_NextEndsWithItsContext(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 1")
		if m, ok := f.TryNext(); ok {
			t.Errorf("TryNext returned %q", show(m))
		}
		r.messages("c", 2)
		for want := range 2 {
			if m, ok := f.TryNext(); !ok || show(m) != fmt.Sprintf("event c %d", want+2) {
				t.Errorf("TryNext returned %q, %t", show(m), ok)
			}
		}
		f.Close()
		f.Close()
		if _, err := f.Next(t.Context()); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestFeed_CloseWakesNext closes a feed while its reader waits.
func TestFeed_CloseWakesNext(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 0")
		go func() {
			time.Sleep(time.Second)
			f.Close()
		}()
		if _, err := f.Next(t.Context()); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("the error is %v", err)
		}
	})
}
