package feed_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// notices has the tail pass on what change makes of each notice.
func (r *rig) notices(change func(n ports.Notice) []ports.Notice) { r.tail.change = change }

func TestFeed_GapsAreReadFromTheLog(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		fs := []*feed.Feed{r.open(named("", head("c"))), r.open(named("", head("c")))}
		for _, f := range fs {
			expect(t, f, "caught_up c 1")
		}
		r.notices(func(ports.Notice) []ports.Notice { return nil })
		r.messages("c", 5)
		expect(t, fs[0])
		r.notices(nil)
		r.messages("c", 1)
		for _, f := range fs {
			expect(t, f, events("c", 2, 7)...)
		}
		if s := r.hub.Stats(); s.GapsFilled != 1 || s.PagesRead != 1 {
			t.Errorf("%d gaps, %d pages read, want 1 and 1", s.GapsFilled, s.PagesRead)
		}
		r.messages("c", 1)
		for _, f := range fs {
			expect(t, f, "event c 8")
		}
	})
}

// TestFeed_Doubles has each notice come twice, and again much later.
func TestFeed_Doubles(t *testing.T) {
	for name, cache := range map[string]int{"cached": 0, "not cached": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{CacheBytes: cache}, func(t *testing.T, r *rig) {
				r.append(created("c", "owner"))
				f := r.open(named("owner", head("c")))
				expect(t, f, "caught_up c 1")
				var old []ports.Notice
				r.notices(func(n ports.Notice) []ports.Notice {
					old = append(old, n)
					return append([]ports.Notice{n, n}, old...)
				})
				r.messages("c", 5)
				expect(t, f, events("c", 2, 6)...)
				if s := r.hub.Stats(); s.Resyncs != 0 || s.Doubles == 0 {
					t.Errorf("%d resyncs, %d doubles", s.Resyncs, s.Doubles)
				}
			})
		})
	}
}

func TestFeed_LostHeads(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 1")
		r.notices(func(ports.Notice) []ports.Notice { return nil })
		r.messages("c", 3)
		r.log.fails(ports.ErrUnavailable)
		r.tail.lose("c")
		expect(t, f)
		r.log.fails(nil)
		expect(t, f, events("c", 2, 4)...)
	})
}

// TestFeed_LogLosesEvents has the log lose events that the feed has given, and go on with others. The loss is noticed in several ways, whether or not the
// log's history has another name: older data that is restored in place leaves it.
func TestFeed_LogLosesEvents(t *testing.T) {
	t.Run("in another history", func(t *testing.T) { testLosses(t, "") })
	t.Run("in the same history", func(t *testing.T) { testLosses(t, "history") })
}

func testLosses(t *testing.T, history string) {
	t.Helper()
	for name, test := range map[string]struct {
		cache int
		then  func(r *rig)
		want  []string
	}{
		"by another event at a known seq":                 {0, func(r *rig) { r.messages("c", 1) }, []string{"resync c 3", "caught_up c 3"}},
		"by another event at a seq that is not cached":    {1, func(r *rig) { r.messages("c", 3) }, []string{"resync c 5", "caught_up c 5"}},
		"by an earlier event at a seq that is not cached": {1, func(r *rig) { r.messages("c", 1) }, []string{"resync c 3", "caught_up c 3"}},
		"by the last event that is known": {1, func(r *rig) {
			var first []ports.Notice
			r.notices(func(n ports.Notice) []ports.Notice {
				if first = append(first, n); len(first) == 4 {
					return first[:1]
				}
				return nil
			})
			r.messages("c", 4)
		}, []string{"resync c 6", "caught_up c 6"}},
		"by the heads": {0, func(r *rig) { r.tail.lose("c") }, []string{"resync c 2", "caught_up c 2"}},
		"by an event at the same head": {0, func(r *rig) {
			r.notices(func(ports.Notice) []ports.Notice { return nil })
			r.messages("c", 3)
			r.tail.lose("c")
		}, []string{"resync c 5", "caught_up c 5"}},
		"by an event at a higher head": {0, func(r *rig) {
			r.notices(func(ports.Notice) []ports.Notice { return nil })
			r.messages("c", 70)
			r.tail.lose("c")
		}, []string{"resync c 72", "caught_up c 72"}},
		"by a page": {0, func(r *rig) {
			r.notices(func(n ports.Notice) []ports.Notice { n.Seq += 100; return []ports.Notice{n} })
			r.messages("c", 1)
		}, []string{"resync c 3", "caught_up c 3"}},
		"by a page with another event": {0, func(r *rig) {
			r.notices(func(ports.Notice) []ports.Notice { return nil })
			r.messages("c", 5)
			r.notices(nil)
			r.messages("c", 1)
		}, []string{"resync c 8", "caught_up c 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{CacheBytes: test.cache}, func(t *testing.T, r *rig) {
				r.log.history.Store(history)
				r.append(created("c", "owner"))
				r.messages("c", 4)
				fs := []*feed.Feed{r.open(named("owner", from("c", 4))), r.open(named("", from("c", 0)))}
				expect(t, fs[0], "event c 5", "caught_up c 5")
				expect(t, fs[1], events("c", 1, 5, "caught_up c 5")...)
				r.replace(created("c", "owner"), sent("c", "other"))
				test.then(r)
				for _, f := range fs {
					expect(t, f, test.want...)
				}
				r.notices(nil)
				next := r.messages("c", 1)
				for _, f := range fs {
					expect(t, f, fmt.Sprintf("event c %d", next))
				}
			})
		})
	}
}

// TestHub_ForgetsPages counts the bytes of cached events.
func TestHub_ForgetsPages(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		r.messages("c", 99)
		f := r.open(named("", from("c", 0)))
		expect(t, f, events("c", 1, 100, "caught_up c 100")...)
		if n := r.hub.Stats().CachedBytes; n < 100*300 {
			t.Errorf("%d bytes are cached of 100 events", n)
		}
		r.replace(created("c", "owner"))
		r.tail.lose("c")
		expect(t, f, "resync c 1", "caught_up c 1")
		if n := r.hub.Stats().CachedBytes; n != 0 {
			t.Errorf("%d bytes of a lost history are cached", n)
		}
		r.messages("c", 1)
		expect(t, f, "event c 2")
		f.Close()
		if n := r.hub.Stats().CachedBytes; n != 0 {
			t.Errorf("%d bytes are cached for no feed", n)
		}
	})
	t.Run("beyond the bound", func(t *testing.T) {
		bubble(t, feed.Config{CacheBytes: 200_000}, func(t *testing.T, r *rig) {
			r.append(created("c", "owner"))
			r.messages("c", 499)
			f := r.open(named("", from("c", 0)))
			expect(t, f, events("c", 1, 500, "caught_up c 500")...)
			r.messages("c", 100)
			if n := r.hub.Stats().CachedBytes; n > 200_000 || n < 50_000 {
				t.Errorf("%d bytes are cached, want at most 200,000", n)
			}
		})
	})
}

// TestHub_CountsEncodings counts the memory of encodings at the next use of a page, and keeps the cache within its bound.
func TestHub_CountsEncodings(t *testing.T) {
	const limit, encoding = 400_000, 8_000
	bubble(t, feed.Config{CacheBytes: limit}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		r.messages("c", 31)
		cached := func() int { return r.hub.Stats().CachedBytes }
		read := func() {
			f := r.open(named("", from("c", 0)))
			defer f.Close()
			for got := 0; got < 32; {
				m, err := f.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if m.Kind != feed.KindEvent {
					continue
				}
				got++
				for _, format := range []string{"json", "proto"} {
					if _, err := m.Event.Encoded(format, func() ([]byte, error) { return make([]byte, encoding/2), nil }); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		keep := r.open(named("", head("c"))) // the pages live as long as a feed of the chat
		expect(t, keep, "caught_up c 32")
		read()
		before := cached()
		read()
		if n := cached(); n < 32*encoding || n > limit || before >= 32*encoding {
			t.Errorf("%d bytes are cached of 32 events with encodings of %d bytes, before the second use %d", n, encoding, before)
		}
		r.messages("c", 468)
		for range 2 {
			f := r.open(named("", from("c", 0)))
			for got := 0; got < 500; {
				m, err := f.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if m.Kind == feed.KindEvent {
					got++
					_, _ = m.Event.Encoded("json", func() ([]byte, error) { return make([]byte, encoding), nil })
				}
			}
			f.Close()
			if n := cached(); n > limit {
				t.Errorf("%d bytes are cached, want at most %d", n, limit)
			}
		}
	})
}

// TestFeed_OpensWhileANoticeIsOnItsWay opens a feed that knows of a later event than the hub. The feed waits for the notice, and reads the log if there is
// none.
func TestFeed_OpensWhileANoticeIsOnItsWay(t *testing.T) {
	for name, arrives := range map[string]bool{"it arrives": true, "it does not arrive": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				r.append(created("c", "owner"), sent("c", "m2"))
				first := r.open(named("owner", head("c")))
				expect(t, first, "caught_up c 2")
				var late []ports.Notice
				r.notices(func(n ports.Notice) []ports.Notice {
					late = append(late, n)
					return nil
				})
				r.append(deleted("c", "m2"))
				began := time.Now()
				f := r.open(named("owner", from("c", 1)))
				if arrives {
					r.notices(func(n ports.Notice) []ports.Notice { return append(late, n) })
					r.messages("c", 1)
				}
				expect(t, f, "event c 2 redacted", "event c 3", "...")
				gaps := r.hub.Stats().GapsFilled
				if passed := time.Since(began); arrives && (passed > 0 || gaps != 0) || !arrives && (passed == 0 || passed > time.Second || gaps != 1) {
					t.Errorf("the events came after %v and %d gaps", passed, gaps)
				}
			})
		})
	}
}

// TestFeed_ResyncDropsQueuedEvents has events of the lost history queued, the next of which would follow the new position.
func TestFeed_ResyncDropsQueuedEvents(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 1")
		r.messages("c", 70)
		others := []domain.Durable{created("c", "owner")}
		for i := range 64 {
			others = append(others, sent("c", fmt.Sprint("other", i)))
		}
		r.replace(others...)
		r.tail.lose("c")
		synctest.Wait()
		expect(t, f, events("c", 2, 65, "resync c 65", "caught_up c 65")...)
		r.messages("c", 1)
		expect(t, f, "event c 66")
	})
}

// TestFeed_ResyncChecksMembership has the log lose the event that made a user a member.
func TestFeed_ResyncChecksMembership(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"), added("c", "bob"), sent("c", "m"))
		f := r.open(named("bob", head("c")))
		expect(t, f, "caught_up c 3")
		r.replace(created("c", "owner"))
		r.append(sent("c", "secret"))
		r.append(sent("c", "secret too"))
		expect(t, f, "resync c 3", "left c 3")
		r.append(sent("c", "more"))
		expect(t, f)
	})
}

func TestFeed_SlowReaderEnds(t *testing.T) {
	for name, c := range map[string]feed.Config{"count": {QueueCount: 10}, "bytes": {QueueBytes: 4000}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c, func(t *testing.T, r *rig) {
				r.append(created("c", "owner"))
				slow, quick := r.open(named("", head("c"))), r.open(named("", head("c")))
				expect(t, slow, "caught_up c 1")
				expect(t, quick, "caught_up c 1")
				fits, bytes := 0, 0
				r.notices(func(n ports.Notice) []ports.Notice {
					if bytes += len(n.JSON); c.QueueCount > 0 && fits < c.QueueCount || c.QueueBytes > 0 && bytes <= c.QueueBytes {
						fits++
					}
					return []ports.Notice{n}
				})
				for seq := range 30 {
					r.messages("c", 1)
					expect(t, quick, fmt.Sprint("event c ", seq+2))
				}
				n := 0
				for {
					m, err := slow.Next(t.Context())
					if err != nil {
						if !errors.Is(err, feed.ErrSlow) {
							t.Errorf("the error is %v", err)
						}
						break
					}
					if n++; show(m) != fmt.Sprint("event c ", n+1) {
						t.Errorf("message %d is %q", n, show(m))
					}
				}
				if n != fits || n > 20 {
					t.Errorf("%d events were queued, want %d", n, fits)
				}
				for _, seq := range slow.Positions() {
					if seq != domain.Seq(n+1) { //nolint:gosec // a few
						t.Errorf("the position is %d after %d events", seq, n)
					}
				}
				if s := r.hub.Stats(); s.Slow != 1 || s.Feeds != 1 {
					t.Errorf("%d slow, %d feeds are left", s.Slow, s.Feeds)
				}
			})
		})
	}
}

// TestFeed_SlowReaderDoesNotCatchUp has a feed end after what is queued, although it has missed events of another chat.
func TestFeed_SlowReaderDoesNotCatchUp(t *testing.T) {
	bubble(t, feed.Config{QueueCount: 10}, func(t *testing.T, r *rig) {
		r.append(created("a", "owner"))
		r.append(created("b", "owner"))
		r.messages("b", 300)
		f := r.open(named("", head("a"), from("b", 0)))
		expect(t, f, "caught_up a 1", "event b 1", "...")
		r.messages("a", 20)
		given := make(map[domain.ChatID]int)
		for {
			m, err := f.Next(t.Context())
			if err != nil {
				if !errors.Is(err, feed.ErrSlow) {
					t.Errorf("the error is %v", err)
				}
				break
			}
			given[m.Chat]++
		}
		if given["a"] != 10 || given["b"] != 63 {
			t.Errorf("the feed gave %v, want what is queued and the rest of a page", given)
		}
	})
}

// TestHub_WatchesWhatIsFollowed counts what the hub watches.
func TestHub_WatchesWhatIsFollowed(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		watched := func(want int64, what string) {
			t.Helper()
			synctest.Wait()
			if n := r.tail.watched.Load(); n != want {
				t.Errorf("%s: the hub watches %d things, want %d", what, n, want)
			}
		}
		watched(0, "no feed")
		same := []domain.ChatID{"c"}
		for i := 0; len(same) < 3; i++ {
			if c := domain.ChatID(fmt.Sprint("c", i)); r.tail.PartitionOf(c) == r.tail.PartitionOf("c") {
				same = append(same, c)
			}
		}
		durable := func(chats ...domain.ChatID) *feed.Feed {
			req := feed.Request{DurableOnly: true}
			for _, c := range chats {
				req.Chats = append(req.Chats, head(c))
			}
			return r.open(req)
		}
		one, two := durable(same...), durable(same[1])
		watched(1, "two feeds of one partition")
		one.Close()
		watched(1, "the first feed has ended")
		decoded := r.tail.decoded.Load()
		r.append(created(same[0], "owner"))
		if r.tail.decoded.Load() != decoded {
			t.Error("the event of a chat that nobody follows was decoded")
		}
		two.Close()
		watched(0, "both feeds have ended")
		three := r.open(named("", head("c")))
		watched(2, "a feed with ephemeral events")
		three.Close()
		watched(0, "it has ended")
		r.append(created("c2", "owner"))
		four := r.open(feed.Request{User: "owner", AllChats: true, DurableOnly: true})
		want := int64(2)
		if r.tail.PartitionOf("c2") != r.tail.PartitionOf(same[0]) {
			want++
		}
		watched(want, "a feed of all chats")
		four.Close()
		watched(0, "it has ended")
	})
}

// TestHub_DecodesOnce has many feeds hear the same events.
func TestHub_DecodesOnce(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		var fs []*feed.Feed
		for range 50 {
			f := r.open(named("owner", head("c")))
			expect(t, f, "caught_up c 1")
			fs = append(fs, f)
		}
		before := r.tail.decoded.Load()
		r.messages("c", 10)
		if n := r.tail.decoded.Load() - before; n != 10 {
			t.Errorf("10 events were decoded %d times", n)
		}
		encoded := 0
		for _, f := range fs {
			for range 10 {
				m, err := f.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Event.Encoded("json", func() ([]byte, error) { encoded++; return nil, nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
		if encoded != 10 {
			t.Errorf("10 events were encoded %d times", encoded)
		}
	})
}

// TestHub_Storm has many feeds resume one chat with 100 missed events each.
func TestHub_Storm(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		const feeds = 2000
		r.append(created("c", "owner"))
		r.messages("c", 299)
		open := func() {
			var all sync.WaitGroup
			for range feeds {
				all.Go(func() {
					f, err := r.hub.Open(context.Background(), named("owner", from("c", 200)))
					if err != nil {
						t.Error(err)
						return
					}
					defer f.Close()
					for seq := domain.Seq(201); seq <= 300; seq++ {
						if m, err := f.Next(t.Context()); err != nil || m.Kind != feed.KindEvent || m.Event.Record.Seq != seq {
							t.Errorf("%q came instead of seq %d, error %v", show(m), seq, err)
							return
						}
					}
					time.Sleep(time.Second)
				})
			}
			all.Wait()
		}
		before := r.log.reads.Load()
		open()
		reads, s := r.log.reads.Load()-before, r.hub.Stats()
		t.Logf("%d feeds with 100 missed events each took %d reads and %d searches; pages were shared %d times", feeds, reads, r.log.searches.Load(), s.PagesShared)
		if reads > 2 || r.log.searches.Load() > 2 {
			t.Errorf("%d reads and %d searches, want 2 of each", reads, r.log.searches.Load())
		}
	})
}

// TestFanOut_Allocations counts what an event costs for each feed beside its decoding.
func TestFanOut_Allocations(t *testing.T) {
	r := newRig(t, feed.Config{})
	defer r.hub.Close()
	r.append(created("c", "owner"))
	const feeds = 500
	fs := make([]*feed.Feed, feeds)
	for i := range fs {
		fs[i] = r.open(named("owner", head("c")))
		expect(t, fs[i], "caught_up c 1", "...")
	}
	n := testing.AllocsPerRun(20, func() {
		r.messages("c", 1)
		for _, f := range fs {
			if _, ok := f.TryNext(); !ok {
				t.Fatal("no event")
			}
		}
	})
	t.Logf("%.2f allocations per event and feed", n/feeds)
	if n/feeds > 1 {
		t.Errorf("%.2f allocations per event and feed, want at most 1", n/feeds)
	}
}
