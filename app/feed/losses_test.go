package feed_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// otherHistory returns n events of a chat, the first ones of a log that has lost its events.
func otherHistory(c domain.ChatID, n int) []domain.Durable {
	all := []domain.Durable{created(c, "owner"), added(c, "ann")}
	for i := range n - len(all) {
		all = append(all, sent(c, fmt.Sprint("other", i)))
	}
	return all
}

// TestFeed_LossBeforeTheComparison has the log lose events, and the next event heard before the log answers whether it has lost any. The new event has the
// seq that follows: a feed that gave it would hide the loss. 64 events are a page: the next event is read with another page than the last one that is known.
func TestFeed_LossBeforeTheComparison(t *testing.T) {
	for _, head := range []int{5, 64} {
		for name, unable := range map[string]func(r *rig, err error){
			"unavailable": func(r *rig, err error) { r.log.fails(err) },
			"corrupt":     func(r *rig, err error) { r.log.damage("c", err) },
		} {
			for _, more := range []int{0, 1, 3} {
				t.Run(fmt.Sprintf("%s, seq %d, %d events heard", name, head, more), func(t *testing.T) {
					bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
						r.log.history.Store("history")
						r.append(created("c", "owner"), added("c", "ann"))
						fs := []*feed.Feed{r.open(named("", from("c", 1))), r.open(named("", from("c", 0)))}
						r.messages("c", head-2)
						expect(t, fs[0], events("c", 2, domain.Seq(head), fmt.Sprintf("caught_up c %d", head))...)
						expect(t, fs[1], events("c", 1, domain.Seq(head), fmt.Sprintf("caught_up c %d", head))...)

						err := error(ports.ErrUnavailable)
						if name == "corrupt" {
							err = &ports.CorruptError{Chat: "c", Cause: errors.New("a test")}
						}
						r.replace(otherHistory("c", head)...)
						unable(r, err)
						r.tail.lose("c")
						synctest.Wait()
						if more > 0 {
							r.messages("c", more)
						}
						if name == "corrupt" && more > 0 { // there are events to give, which cannot be read
							for _, f := range fs {
								if _, err := f.Next(t.Context()); !isUnreadable(err) {
									t.Errorf("the error is %v", err)
								}
							}
							return
						}
						expect(t, fs[0])
						unable(r, nil)
						time.Sleep(2 * time.Minute)
						for _, f := range fs {
							expect(t, f, fmt.Sprintf("resync c %d", head+more), fmt.Sprintf("caught_up c %d", head+more))
						}
						r.messages("c", 1)
						for _, f := range fs {
							expect(t, f, fmt.Sprintf("event c %d", head+more+1))
						}
					})
				})
			}
		}
	}
}

// TestFeed_EventsDuringTheComparison has events heard while the log is asked whether it has lost any, and it has not.
func TestFeed_EventsDuringTheComparison(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		r.append(created("b", "owner"))
		f := r.open(named("", from("c", 0)))
		expect(t, f, "event c 1", "caught_up c 1")
		for range 3 {
			r.log.fails(ports.ErrUnavailable)
			r.tail.lose("c")
			r.messages("c", 2)
			r.tail.lose("c")
			r.log.fails(nil)
			head := r.head("c")
			expect(t, f, fmt.Sprint("event c ", head-1), fmt.Sprint("event c ", head))
		}
		r.log.afterRead = func() { // heard after the log has answered
			r.log.afterRead = nil
			r.messages("c", 1)
		}
		r.tail.lose("c")
		synctest.Wait()
		expect(t, f, fmt.Sprint("event c ", r.head("c")))
		if s := r.hub.Stats(); s.Resyncs != 0 {
			t.Errorf("%d resyncs", s.Resyncs)
		}
	})
}

// TestFeed_LossWhileUnreadable has the log lose events of a chat that a feed of all chats goes on without, because it cannot be read.
func TestFeed_LossWhileUnreadable(t *testing.T) {
	for _, head := range []domain.Seq{4, 8} {
		t.Run(fmt.Sprint(head, " events"), func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				r.log.history.Store("history")
				r.append(created("bad", "owner"), added("bad", "ann"), sent("bad", "m3"))
				fs := []*feed.Feed{r.open(feed.Request{User: "ann", AllChats: true}), r.open(feed.Request{User: "ann", AllChats: true})}
				for _, f := range fs {
					expect(t, f, "caught_up bad 3")
				}
				r.messages("bad", 1)
				for _, f := range fs {
					expect(t, f, "event bad 4")
				}
				r.log.damage("bad", &ports.CorruptError{Chat: "bad", Cause: errors.New("a test")})
				r.notices(func(ports.Notice) []ports.Notice { return nil })
				r.messages("bad", 1)
				r.notices(nil)
				r.messages("bad", 1)
				for _, f := range fs { // they must read what they have not heard
					expect(t, f)
				}
				r.replace(otherHistory("bad", int(head))...) //nolint:gosec // a few
				r.tail.lose("bad")
				synctest.Wait()
				r.log.damage("bad", nil)
				time.Sleep(2 * time.Minute)
				for _, f := range fs {
					expect(t, f, fmt.Sprintf("resync bad %d", head), fmt.Sprintf("caught_up bad %d", head))
				}
				r.messages("bad", 1)
				for _, f := range fs {
					expect(t, f, fmt.Sprintf("event bad %d", head+1))
				}
			})
		})
	}
}

// TestFeed_LossOfAnEventThatWasNotHeard has a feed give an event that it has read and not heard, and the log lose the event.
func TestFeed_LossOfAnEventThatWasNotHeard(t *testing.T) {
	for name, cache := range map[string]int{"cached": 0, "not cached": 1} {
		for _, lost := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d events", name, lost), func(t *testing.T) {
				bubble(t, feed.Config{CacheBytes: cache}, func(t *testing.T, r *rig) {
					r.log.history.Store("history")
					r.append(created("c", "owner"), added("c", "ann"), sent("c", "m3"))
					f := r.open(named("", from("c", 0)))
					r.notices(func(ports.Notice) []ports.Notice { return nil })
					last := r.messages("c", lost)
					expect(t, f, events("c", 1, last, fmt.Sprintf("caught_up c %d", last))...)
					r.replace(otherHistory("c", 3)...)
					r.notices(nil)
					r.messages("c", 1)
					expect(t, f, "resync c 4", "caught_up c 4")
					r.messages("c", 2)
					expect(t, f, "event c 5", "event c 6")
				})
			})
		}
	}
}

// TestFeed_EventThatWasReadIsHeard has an event heard after a feed has read it.
func TestFeed_EventThatWasReadIsHeard(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("", from("c", 0)))
		var late []ports.Notice
		r.notices(func(n ports.Notice) []ports.Notice {
			late = append(late, n)
			return nil
		})
		r.messages("c", 2)
		expect(t, f, events("c", 1, 3, "caught_up c 3")...)
		r.notices(func(n ports.Notice) []ports.Notice { return append(late, n) })
		r.messages("c", 1)
		expect(t, f, "event c 4")
		if s := r.hub.Stats(); s.Resyncs != 0 {
			t.Errorf("%d resyncs", s.Resyncs)
		}
	})
}

// TestFeed_HeardWhileALossIsNoticed has an event heard after the log has answered, and before the hub knows that events were lost.
func TestFeed_HeardWhileALossIsNoticed(t *testing.T) {
	for name, test := range map[string]struct {
		head  int
		after func(r *rig, fn func())
	}{
		"the heads":      {3, func(r *rig, fn func()) { r.log.afterBulk = fn }},
		"the last event": {8, func(r *rig, fn func()) { r.log.afterRead = fn }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				r.log.history.Store("history")
				r.append(created("c", "owner"), added("c", "ann"))
				f := r.open(named("", from("c", 0)))
				last := r.messages("c", 6)
				expect(t, f, events("c", 1, last, fmt.Sprintf("caught_up c %d", last))...)
				r.replace(otherHistory("c", test.head)...)
				test.after(r, func() {
					r.log.afterRead, r.log.afterBulk = nil, nil
					r.messages("c", 1)
				})
				r.tail.lose("c")
				synctest.Wait()
				expect(t, f, fmt.Sprintf("resync c %d", test.head+1), fmt.Sprintf("caught_up c %d", test.head+1))
				r.messages("c", 1)
				expect(t, f, fmt.Sprintf("event c %d", test.head+2))
			})
		})
	}
}

// TestFeed_LossWhileItOpens has the log lose events after the head was read that a feed begins at.
func TestFeed_LossWhileItOpens(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.log.history.Store("history")
		r.append(created("c", "owner"), added("c", "ann"))
		r.messages("c", 6)
		r.log.afterBulk = func() {
			r.log.afterBulk = nil
			r.replace(otherHistory("c", 3)...)
			r.tail.lose("c")
			time.Sleep(time.Second) // no chat was followed yet, and the comparison has ended
		}
		f := r.open(named("", head("c")))
		expect(t, f, "resync c 3", "caught_up c 3")
		r.messages("c", 1)
		expect(t, f, "event c 4")
	})
}

// TestFeed_LossDuringAVerification has the tail lose events while the log is asked about a chat for another reason.
func TestFeed_LossDuringAVerification(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.append(created("c", "owner"))
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 1")
		r.log.beforeHistory = func() {
			r.log.beforeHistory = nil
			r.messages("c", 1)
			r.tail.lose("c")
			time.Sleep(time.Second) // the comparison has ended
		}
		r.tail.hear(ports.Notice{Chat: "c", Seq: 1}) // again, and the hub knows no event of the chat
		time.Sleep(2 * time.Second)
		expect(t, f, "event c 2")
		r.messages("c", 1)
		expect(t, f, "event c 3")
	})
}

// TestFeed_LossDuringARead has the tail lose events while a page is read that the log has written since it lost the last event of the page before.
func TestFeed_LossDuringARead(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.log.history.Store("history")
		r.append(created("c", "owner"), added("c", "ann"))
		f := r.open(named("", from("c", 0)))
		last := r.messages("c", 62) // a page
		expect(t, f, events("c", 1, last, fmt.Sprintf("caught_up c %d", last))...)
		r.notices(func(ports.Notice) []ports.Notice { return nil })
		r.messages("c", 1)
		r.notices(nil)
		r.messages("c", 1)
		r.replace(otherHistory("c", 70)...)
		r.log.afterRead = func() {
			r.log.afterRead = nil
			r.tail.lose("c")
			time.Sleep(10 * time.Millisecond)
		}
		expect(t, f, "resync c 70", "caught_up c 70")
	})
}

// TestFeed_LossDuringAComparison has the tail lose events again after the log has answered, in a chat of which no event is known.
func TestFeed_LossDuringAComparison(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.log.history.Store("history")
		r.append(created("c", "owner"), added("c", "ann"))
		r.messages("c", 6)
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 8")
		r.log.afterBulk = func() {
			r.log.afterBulk = nil
			r.replace(otherHistory("c", 3)...)
			r.tail.lose("c")
		}
		r.tail.lose("c")
		synctest.Wait()
		expect(t, f, "resync c 3", "caught_up c 3")
	})
}

// TestFeed_UnreadableWhileDoubted has the log answer the heads of chats, and not the last event of one, which it has lost. The chat can be read again when the
// next event is heard, or a while later.
func TestFeed_UnreadableWhileDoubted(t *testing.T) {
	for name, test := range map[string]struct {
		then func(r *rig)
		head int
	}{
		"an event is heard": {func(r *rig) { r.messages("c", 1) }, 9},
		"later":             {func(*rig) { time.Sleep(2 * time.Minute) }, 8},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
				r.log.history.Store("history")
				r.append(created("c", "owner"), added("c", "ann"))
				f := r.open(named("", from("c", 0)))
				last := r.messages("c", 6)
				expect(t, f, events("c", 1, last, fmt.Sprintf("caught_up c %d", last))...)
				r.replace(otherHistory("c", 8)...)
				r.log.afterBulk = func() {
					r.log.afterBulk = nil
					r.log.damage("c", &ports.CorruptError{Chat: "c", Cause: errors.New("a test")})
				}
				r.tail.lose("c")
				expect(t, f)
				r.log.damage("c", nil)
				test.then(r)
				expect(t, f, fmt.Sprintf("resync c %d", test.head), fmt.Sprintf("caught_up c %d", test.head))
			})
		})
	}
}

// TestFeed_AnotherHistoryOfOtherChats has one chat compared after the history of the log has changed: the other chats of the partition are compared too.
func TestFeed_AnotherHistoryOfOtherChats(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.log.history.Store("history")
		r.append(created("c", "owner"))
		other := r.neighbor("c")
		r.append(created(other, "owner"))
		f := r.open(named("", head("c")))
		expect(t, f, "caught_up c 1")
		r.log.afterBulk = func() {
			r.log.afterBulk = nil
			r.tail.lose("c")
			time.Sleep(time.Second)
			r.log.history.Store("another one")
		}
		g := r.open(named("", head(other)))
		expect(t, g, fmt.Sprintf("resync %s 1", other), fmt.Sprintf("caught_up %s 1", other))
		expect(t, f, "resync c 1", "caught_up c 1")
	})
}

// TestFeed_AnotherHistoryDuringComparison has the history of the log change while heads are read: a chat that a feed opens later is of the new history.
func TestFeed_AnotherHistoryDuringComparison(t *testing.T) {
	bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
		r.log.history.Store("history")
		r.append(created("c", "owner"))
		other := r.neighbor("c")
		r.append(created(other, "owner"))
		f := r.open(named("", from("c", 0)))
		expect(t, f, "event c 1", "caught_up c 1")
		r.log.afterBulk = func() {
			r.log.afterBulk = nil
			r.log.history.Store("another one")
		}
		r.tail.lose("c")
		synctest.Wait()
		g := r.open(named("", head(other)))
		expect(t, g, fmt.Sprintf("caught_up %s 1", other))
		r.tail.lose("c")
		synctest.Wait()
		r.messages(other, 1)
		expect(t, g, fmt.Sprintf("event %s 2", other))
	})
}

// TestFeed_ParkedAmongOthers has a feed of all chats find that a chat cannot be read, and go on with the next one at once. Once the chat can be read, it continues
// as a chat does that a feed begins with: older events than Config.MaxCatchUp are skipped.
func TestFeed_ParkedAmongOthers(t *testing.T) {
	bubble(t, feed.Config{MaxCatchUp: 3}, func(t *testing.T, r *rig) {
		for _, c := range []domain.ChatID{"bad", "z"} {
			r.append(created(c, "owner"), added(c, "ann"), sent(c, "m3"), sent(c, "m4"))
		}
		f := r.open(feed.Request{User: "ann", AllChats: true, Resume: true, Chats: []feed.Position{from("bad", 3), from("z", 3)}})
		r.log.damage("bad", &ports.CorruptError{Chat: "bad", Cause: errors.New("a test")})
		if m, some := f.TryNext(); some {
			t.Fatalf("came %v", show(m))
		}
		synctest.Wait() // both reads have ended
		expect(t, f, "event z 4", "caught_up z 4")
		r.messages("bad", 5)
		r.log.damage("bad", nil)
		time.Sleep(2 * time.Minute)
		expect(t, f, "skipped bad 4-6", "event bad 7", "event bad 8", "event bad 9", "caught_up bad 9")
		r.messages("bad", 1)
		expect(t, f, "event bad 10")
	})
}
