package feed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// take returns the next n messages.
func take(t *testing.T, f *feed.Feed, n int) (all []feed.Message) {
	t.Helper()
	for range n {
		m, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestFeed_Redaction has users read events of messages that are deleted: of pages, of the cache, and of a page that was being read meanwhile.
func TestFeed_Redaction(t *testing.T) {
	has := func(t *testing.T, m feed.Message, content bool) {
		t.Helper()
		e := m.Event.Record.Event
		if m.Event.Redacted == content {
			t.Errorf("%s is %+v", show(m), e)
		}
		text := fmt.Sprintf("%+v", e)
		if found := strings.Contains(text, "content of") || strings.Contains(text, "a.png") || strings.Contains(text, `{"k":1}`) || strings.Contains(text, "Mentions:[owner]"); found != content {
			t.Errorf("%s is %s, want content: %t", show(m), text, content)
		}
	}
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), sent("c", "old"), sent("c", "m3"), edited("c", "m3"), sent("c", "m5"))
		r.messages("c", 62)          // up to 67, so that 65 is the first of a second page
		r.append(edited("c", "old")) // 68: the message is of the first page
		r.messages("c", 60)          // up to 128, so that the deletions are of a third page
		r.append(deleted("c", "m3"))
		r.append(deleted("c", "old"))
		user, service := r.open(named("owner", from("c", 0))), r.open(named("", from("c", 0)))
		got, all := take(t, user, 131), take(t, service, 131)
		for i, m := range got[:130] {
			seq := i + 1
			switch seq {
			case 1, 129, 130:
			case 2, 3, 4, 68:
				has(t, m, false)
			default:
				has(t, m, true)
			}
			if seq > 1 && seq < 129 {
				has(t, all[i], true)
			}
		}
		expect(t, user)
		r.append(deleted("c", "m5")) // live: the cached event has no content from now on
		expect(t, user, "event c 131")
		reads := r.log.reads.Load()
		later := r.open(named("owner", from("c", 4)))
		has(t, take(t, later, 1)[0], false)
		if n := r.log.reads.Load() - reads; n != 0 {
			t.Errorf("the page was read again, %d times", n)
		}
	})
	t.Run("while it is read", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"), sent("c", "m2"))
			live := r.open(named("owner", head("c")))
			expect(t, live, "caught_up c 2")
			once := true
			r.log.afterSearch = func() {
				if once {
					once = false
					r.append(deleted("c", "m2"))
				}
			}
			late := r.open(named("owner", from("c", 1)))
			has(t, take(t, late, 1)[0], false)
			expect(t, late, "event c 3", "caught_up c 3")
		})
	})
	t.Run("while it is read, and not heard", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"), sent("c", "m2"))
			live := r.open(named("owner", head("c")))
			expect(t, live, "caught_up c 2")
			once := true
			r.log.afterSearch = func() {
				if once {
					once = false
					r.notices(func(ports.Notice) []ports.Notice { return nil })
					r.append(deleted("c", "m2"))
					r.notices(nil)
					r.append(sent("c", "m4"))
				}
			}
			late := r.open(named("owner", from("c", 1)))
			has(t, take(t, late, 1)[0], false)
			expect(t, late, "event c 3", "event c 4", "caught_up c 4")
		})
	})
	t.Run("of a queued event", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"))
			f := r.open(named("owner", head("c")))
			expect(t, f, "caught_up c 1")
			r.append(sent("c", "m2"))
			r.append(deleted("c", "m2"))
			has(t, take(t, f, 1)[0], false)
		})
	})
	t.Run("after a gap", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"))
			f := r.open(named("owner", head("c")))
			expect(t, f, "caught_up c 1")
			r.append(sent("c", "m2"))
			r.notices(func(ports.Notice) []ports.Notice { return nil })
			r.append(deleted("c", "m2")) // is not heard
			late := r.open(named("owner", from("c", 1)))
			has(t, take(t, late, 1)[0], false)
			expect(t, late, "event c 3", "caught_up c 3")
			expect(t, f, "event c 2 redacted", "event c 3")
		})
	})
}

// TestFeed_RedactsNewerEvents has a message that a newer program sent.
func TestFeed_RedactsNewerEvents(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), sent("c", "m2"), sent("c", "m3"))
		r.append(deleted("c", "m2"))
		r.log.change = func(records []ports.Record) {
			for i := range records {
				if m, ok := records[i].Event.(domain.MessageNew); ok {
					records[i].Event = domain.Unknown{Chat: "c", Type: "message:new", Version: 9, Newer: true, Sent: true, Message: m.Message, Data: `{"content":"secret"}`}
				}
			}
		}
		got := take(t, r.open(named("owner", from("c", 1))), 2)
		for i, want := range []string{"{}", `{"content":"secret"}`} {
			if u, ok := got[i].Event.Record.Event.(domain.Unknown); !ok || u.Data != want || got[i].Event.Redacted != (i == 0) {
				t.Errorf("%s is %+v", show(got[i]), got[i].Event.Record.Event)
			}
		}
	})
}

// TestFeed_LiveBetweenPages has a feed catch up in one chat while another one is busy.
func TestFeed_LiveBetweenPages(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("a", "owner"))
		r.append(created("b", "owner"))
		r.messages("a", 319)
		f := r.open(named("", from("a", 0), head("b")))
		var order []string
		for i := range 340 {
			m := take(t, f, 1)[0]
			if m.Kind == feed.KindEvent && (len(order) == 0 || order[len(order)-1] != string(m.Chat)) {
				order = append(order, string(m.Chat))
			}
			if i%20 == 0 {
				r.messages("b", 1)
			}
		}
		if len(order) < 8 {
			t.Errorf("events came from chats in the order %q, want the chats to alternate", order)
		}
	})
}

// payload returns an ephemeral event as other programs publish it.
func payload(fields map[string]any) []byte {
	b, _ := json.Marshal(fields) //nolint:errchkjson // strings
	return b
}

func (r *rig) typing(c domain.ChatID, user domain.UserID) {
	r.live.send(wireformat.TypeTypingStart, payload(map[string]any{"chatId": c, "userId": user}))
}

func (r *rig) status(user domain.UserID, status string) {
	r.live.send(wireformat.TypeUserStatus, payload(map[string]any{"userId": user, "status": status}))
}

func TestFeed_Ephemeral(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"), added("c", "cem"))
		r.append(created("d", "owner"), added("d", "bob"))
		r.append(created("e", "dan"))
		owner := r.open(named("owner", head("c"), head("d")))
		bob, all := r.open(named("bob", head("c"))), r.open(feed.Request{User: "bob", AllChats: true})
		cem, dan := r.open(named("cem", head("c"))), r.open(named("dan", head("e")))
		durable := r.open(feed.Request{User: "owner", Chats: []feed.Position{head("c")}, DurableOnly: true})
		expect(t, owner, "caught_up c 3", "caught_up d 2")
		expect(t, bob, "caught_up c 3")
		expect(t, all, "caught_up c 3", "caught_up d 2")
		expect(t, cem, "caught_up c 3")
		expect(t, dan, "caught_up e 1")
		expect(t, durable, "caught_up c 3")

		r.typing("c", "bob")
		expect(t, owner, "domain.TypingStart c")
		expect(t, cem, "domain.TypingStart c")
		r.live.send(wireformat.TypeTypingStop, payload(map[string]any{"chatId": "d", "userId": "owner"}))
		expect(t, all, "domain.TypingStop d")
		r.typing("nobody-follows", "bob")
		r.status("owner", "away")
		for _, f := range []*feed.Feed{owner, bob, all, cem} {
			expect(t, f, "domain.UserStatus ")
		}
		r.status("dan", "busy")
		expect(t, dan, "domain.UserStatus ")
		for _, f := range []*feed.Feed{owner, bob, all, cem, dan, durable} {
			expect(t, f)
		}

		r.append(removed("c", "bob"))
		r.typing("c", "cem")
		expect(t, bob, "event c 4", "left c 4")

		r.live.send(wireformat.TypeTypingStart, []byte(`{"chatId":"c","userId":"bad id"}`))
		r.status("owner", "no such status")
		synctest.Wait()
		if s := r.hub.Stats(); s.Malformed != 2 {
			t.Errorf("%d malformed, want 2", s.Malformed)
		}
	})
}

// TestFeed_EphemeralOnlyOfMembers has a user removed who has not been given the removal yet.
func TestFeed_EphemeralOnlyOfMembers(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"))
		f := r.open(named("bob", from("c", 1)))
		r.log.fails(ports.ErrUnavailable)
		expect(t, f)
		r.append(removed("c", "bob"))
		r.typing("c", "owner")
		expect(t, f)
		r.log.fails(nil)
		expect(t, f, "event c 2", "event c 3", "left c 3")
	})
}

// TestFeed_EphemeralIsDroppedFirst fills a queue by half.
func TestFeed_EphemeralIsDroppedFirst(t *testing.T) {
	bubble(t, feed.Config{QueueCount: 10}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"))
		f := r.open(named("owner", head("c")))
		expect(t, f, "caught_up c 2")
		for range 8 {
			r.typing("c", "bob")
		}
		r.messages("c", 5)
		want := slices.Repeat([]string{"domain.TypingStart c"}, 5)
		expect(t, f, append(want, events("c", 3, 7)...)...)
		if s := r.hub.Stats(); s.EphemeralsDropped != 3 || s.EphemeralsQueued != 5 {
			t.Errorf("%d were dropped and %d queued, want 3 and 5", s.EphemeralsDropped, s.EphemeralsQueued)
		}
	})
}

// TestHub_StatusesAreShed has many users change their status while a look-up waits: the newest of each user is given, and too many are dropped.
func TestHub_StatusesAreShed(t *testing.T) {
	bubble(t, feed.Config{QueueCount: 10_000}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("owner", head("c")))
		expect(t, f, "caught_up c 1")
		release := r.blockView()
		r.status("owner", "away") // its look-up waits
		synctest.Wait()
		for _, status := range []string{"busy", "online", "away", "busy"} {
			r.status("owner", status)
		}
		for i := range 1100 {
			r.status(domain.UserID(fmt.Sprint("u", i)), "online")
		}
		release()
		synctest.Wait()
		for _, want := range []domain.Status{domain.Away, domain.Busy} {
			if m := take(t, f, 1)[0]; m.Ephemeral.Event.(domain.UserStatus).Status != want {
				t.Errorf("the status is %+v, want %d", m.Ephemeral.Event, want)
			}
		}
		if s := r.hub.Stats(); s.EphemeralsDropped != 1100-1023 {
			t.Errorf("%d were dropped, want %d", s.EphemeralsDropped, 1100-1023)
		}
	})
}

// TestFeed_AllChatsFollowsMemberships changes memberships that the hub hears of late, not at all, or before the view has them.
func TestFeed_AllChatsFollowsMemberships(t *testing.T) {
	setup := func(r *rig) *feed.Feed {
		r.append(created("a", "owner"), added("a", "bob"))
		r.append(created("b", "owner"))
		f := r.open(feed.Request{User: "bob", AllChats: true})
		expect(r.t, f, "caught_up a 2")
		return f
	}
	joined := []string{"joined b 1", "event b 2", "caught_up b 2"}
	t.Run("a notice before the view", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			e := added("b", "bob")
			seq := r.appendOnly(e)
			r.tail.members("bob")
			expect(t, f)
			r.project(e, seq)
			expect(t, f, joined...)
		})
	})
	t.Run("no notice", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.silent(func() { r.append(added("b", "bob")) })
			expect(t, f)
			time.Sleep(91 * time.Second)
			expect(t, f, joined...)
		})
	})
	t.Run("a notice of all", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.silent(func() { r.append(added("b", "bob")) })
			r.tail.members("")
			expect(t, f, joined...)
		})
	})
	t.Run("an outage", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.log.fails(ports.ErrUnavailable)
			r.append(added("b", "bob"))
			expect(t, f)
			r.log.fails(nil)
			expect(t, f, joined...)
		})
	})
	t.Run("removed and added while the reader is behind", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.append(removed("a", "bob"), sent("a", "secret"), added("a", "bob"), sent("a", "m"))
			expect(t, f, "event a 3", "left a 3", "joined a 4", "event a 5", "event a 6", "caught_up a 6")
		})
	})
	t.Run("the log loses events before the reader knows of the chat", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("b", "owner"))
			f := r.open(feed.Request{User: "bob", AllChats: true})
			r.append(added("b", "bob"))
			synctest.Wait()
			r.replace(created("b", "owner"), sent("b", "m"), added("b", "bob"))
			r.tail.lose("b")
			synctest.Wait()
			expect(t, f, "joined b 2", "event b 3", "caught_up b 3")
		})
	})
	t.Run("while it opens", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("a", "owner"), added("a", "bob"))
			r.append(created("b", "owner"))
			once := true
			r.log.beforeBulk = func() {
				if once { // the view was read before
					once = false
					r.append(added("b", "bob"))
					synctest.Wait()
				}
			}
			f := r.open(feed.Request{User: "bob", AllChats: true})
			expect(t, f, append([]string{"caught_up a 2"}, joined...)...)
		})
	})
	t.Run("while another chat is joined", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.append(created("d", "owner"))
			once := true
			r.log.beforeBulk = func() {
				if once {
					once = false
					r.append(added("d", "bob"))
				}
			}
			r.append(added("b", "bob"))
			var got []string
			for range 6 {
				got = append(got, next(f))
			}
			slices.Sort(got)
			want := append([]string{"joined d 1", "event d 2", "caught_up d 2"}, joined...)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("the feed gave %q, want %q", got, want)
			}
		})
	})
	t.Run("the feed is closed while it joins", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.log.beforeBulk = f.Close
			r.append(added("b", "bob"))
			synctest.Wait()
			if s := r.hub.Stats(); s.Chats != 0 || s.Feeds != 0 || r.tail.watched.Load() != 0 {
				t.Errorf("the closed feed leaves %+v, %d watches", s, r.tail.watched.Load())
			}
		})
	})
	t.Run("the removal is not heard", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			f := setup(r)
			r.notices(func(ports.Notice) []ports.Notice { return nil })
			r.append(removed("a", "bob"), sent("a", "secret"))
			expect(t, f, "event a 3", "left a 3")
		})
	})
	t.Run("the removal is not heard, and former members may read nothing", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("a", "owner"), added("a", "bob"))
			h := r.newHub(feed.Config{Heartbeat: time.Hour}, app.FormerMembersNothing)
			defer h.Close()
			f, err := h.Open(t.Context(), feed.Request{User: "bob", AllChats: true})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, f, "caught_up a 2")
			r.notices(func(ports.Notice) []ports.Notice { return nil })
			r.append(removed("a", "bob"), sent("a", "secret"))
			expect(t, f, "left a 2")
		})
	})
}

// TestFeed_NewerMembership has an event that only a newer program can read, and that may have ended the membership: it is checked before the reader gets
// any later event.
func TestFeed_NewerMembership(t *testing.T) {
	for _, test := range []struct {
		name string
		then func(r *rig)
		want []string
	}{
		{"still a member", func(*rig) {}, []string{"event c 3", "event c 4", "event c 5"}},
		{"removed since", func(r *rig) { r.append(removed("c", "bob")) }, []string{"event c 3", "event c 4", "event c 5", "event c 6", "left c 6"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				r.append(created("c", "owner"), added("c", "bob"))
				f := r.open(named("bob", head("c")))
				expect(t, f, "caught_up c 2")
				loads := r.log.loads.Load()
				r.tail.decode = func(record *ports.Record) {
					if record.Seq == 3 {
						record.Event = domain.Unknown{Chat: "c", Type: "chat:update", Version: 9, Newer: true}
					}
				}
				r.append(sent("c", "m3"), sent("c", "m4"), sent("c", "m5"))
				test.then(r)
				expect(t, f, test.want...)
				if n := r.log.loads.Load() - loads; n != 1 {
					t.Errorf("the membership was read %d times, want once", n)
				}
			})
		})
	}
	t.Run("not readable", func(t *testing.T) {
		bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"), added("c", "bob"))
			f := r.open(named("bob", head("c")))
			expect(t, f, "caught_up c 2")
			r.tail.decode = func(record *ports.Record) {
				record.Event = domain.Unknown{Chat: "c", Type: "member:update", Version: 1}
			}
			r.append(sent("c", "m3"), sent("c", "secret"))
			r.log.fails(&ports.NewerVersionError{Chat: "c", Seq: 3})
			expect(t, f, "event c 3", "...")
			if _, err := f.Next(t.Context()); !errors.Is(err, ports.ErrNewerVersion) {
				t.Errorf("the error is %v", err)
			}
			r.log.fails(nil)
		})
	})
}

// TestFeed_Memory measures idle feeds.
func TestFeed_Memory(t *testing.T) {
	for _, test := range []struct {
		feeds, chats, shared, limit int
	}{{2000, 1, 1, 1024}, {2000, 1, 2000, 2048}, {100, 100, 100, 10 * 1024}} {
		r := newRig(t, feed.Config{})
		ids := make([]domain.ChatID, max(test.shared, test.chats))
		for i := range ids {
			ids[i] = domain.ChatID(fmt.Sprint("chat-", i))
		}
		before := heap()
		fs := make([]*feed.Feed, test.feeds)
		for i := range fs {
			var positions []feed.Position
			for j := range test.chats {
				positions = append(positions, head(ids[(i+j)%len(ids)]))
			}
			fs[i] = r.open(named("", positions...))
			for range positions {
				take(t, fs[i], 1)
			}
			if _, ok := fs[i].TryNext(); ok {
				t.Fatal("an idle feed has a message")
			}
		}
		each := (heap() - before) / uint64(test.feeds) //nolint:gosec // positive
		t.Logf("%d feeds of %d chats, of %d chats in all: %d bytes each", test.feeds, test.chats, len(ids), each)
		if each > uint64(test.limit) { //nolint:gosec // positive
			t.Errorf("%d bytes, want at most %d", each, test.limit)
		}
		runtime.KeepAlive(fs)
		r.hub.Close()
	}
}

// TestFeed_MemoryAfterABurst measures idle feeds whose queues were long.
func TestFeed_MemoryAfterABurst(t *testing.T) {
	r := newRig(t, feed.Config{CacheBytes: 1})
	defer r.hub.Close()
	r.append(created("c", "owner"))
	fs := make([]*feed.Feed, 500)
	for i := range fs {
		fs[i] = r.open(named("", head("c")))
		take(t, fs[i], 1)
	}
	before := heap()
	r.messages("c", 500)
	for _, f := range fs {
		take(t, f, 500)
	}
	r.replace(created("c", "owner"))                                            // frees the log's events
	if grown := (int64(heap()) - int64(before)) / int64(len(fs)); grown > 300 { //nolint:gosec // small
		t.Errorf("each feed has grown by %d bytes", grown)
	}
	runtime.KeepAlive(fs)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
