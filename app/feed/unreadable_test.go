package feed_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/ports"
)

// TestFeed_UnreadableChat has feeds of all chats go on without a chat that cannot be read, and follow it once it can be.
func TestFeed_UnreadableChat(t *testing.T) {
	for name, damage := range map[string]error{
		"corrupt": &ports.CorruptError{Chat: "bad", Cause: errors.New("a test")},
		"newer":   &ports.NewerVersionError{Chat: "bad", Seq: 2, Type: "chat:update", Version: 9},
	} {
		setup := func(r *rig) {
			for _, c := range []domain.ChatID{"a", "bad", "z"} {
				r.append(created(c, "owner"), added(c, "ann"), sent(c, "m3"), sent(c, "m4"))
			}
		}
		all := feed.Request{User: "ann", AllChats: true}
		resumed := feed.Request{User: "ann", AllChats: true, Resume: true, Chats: []feed.Position{from("a", 4), from("bad", 3), from("z", 4)}}
		later := func(r *rig) { // the next comparison has run
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		}
		run := func(what string, test func(t *testing.T, r *rig)) {
			t.Run(name+"/"+what, func(t *testing.T) {
				bubble(t, feed.Config{}, func(t *testing.T, r *rig) {
					setup(r)
					test(t, r)
					if s := r.hub.Stats(); s.Unreadable != 1 || r.logs.Load() != 1 {
						t.Errorf("%d chats are counted and %d logged, want 1", s.Unreadable, r.logs.Load())
					}
				})
			})
		}
		run("at the beginning", func(t *testing.T, r *rig) {
			r.log.damage("bad", damage)
			feeds := []*feed.Feed{r.open(all), r.open(all)}
			for _, f := range feeds {
				expectAnyOrder(t, f, "caught_up a 4", "caught_up z 4")
			}
			r.append(created("new", "owner"), added("new", "ann"))
			r.append(removed("z", "ann"))
			for _, f := range feeds {
				expectAnyOrder(t, f, "joined new 1", "event new 2", "caught_up new 2", "event z 5", "left z 5")
			}
			later(r)
			r.log.damage("bad", nil)
			later(r)
			for _, f := range feeds {
				expect(t, f, "joined bad 4", "caught_up bad 4")
			}
			r.append(sent("bad", "m5"))
			for _, f := range feeds {
				expect(t, f, "event bad 5")
			}
		})
		run("with a position", func(t *testing.T, r *rig) {
			r.log.damage("bad", damage)
			f := r.open(resumed)
			expectAnyOrder(t, f, "caught_up a 4", "caught_up z 4")
			if at := maps.Collect(f.Positions()); len(at) != 3 || at["bad"] != 3 {
				t.Errorf("the positions are %v", at)
			}
			later(r)
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "event bad 4", "caught_up bad 4")
		})
		run("of another log", func(t *testing.T, r *rig) {
			r.log.damage("bad", damage)
			other := resumed
			other.LogID = "another log"
			f := r.open(other)
			expectAnyOrder(t, f, "resync  0", "caught_up a 4", "caught_up z 4")
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "joined bad 4", "caught_up bad 4")
		})
		run("removed meanwhile", func(t *testing.T, r *rig) {
			r.log.damage("bad", damage)
			f := r.open(resumed)
			expectAnyOrder(t, f, "caught_up a 4", "caught_up z 4")
			r.append(removed("bad", "ann"), sent("bad", "secret"))
			expect(t, f)
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "event bad 4", "event bad 5", "left bad 5")
			later(r)
			expect(t, f)
		})
		run("joined later", func(t *testing.T, r *rig) {
			r.append(created("other", "owner"))
			f := r.open(feed.Request{User: "bob", AllChats: true})
			r.log.damage("bad", damage)
			r.append(added("bad", "bob"))
			r.append(added("other", "bob"))
			expect(t, f, "joined other 1", "event other 2", "caught_up other 2")
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "joined bad 4", "event bad 5", "caught_up bad 5")
		})
		run("while it is read", func(t *testing.T, r *rig) {
			f := r.open(resumed)
			r.log.damage("bad", damage)
			expectAnyOrder(t, f, "caught_up a 4", "caught_up z 4")
			later(r)
			if at := maps.Collect(f.Positions()); at["bad"] != 3 {
				t.Errorf("the positions are %v", at)
			}
			r.append(sent("z", "m5"))
			expect(t, f, "event z 5")
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "event bad 4", "caught_up bad 4")
		})
		run("while it is read, and removed meanwhile", func(t *testing.T, r *rig) {
			f := r.open(resumed)
			r.log.damage("bad", damage)
			expectAnyOrder(t, f, "caught_up a 4", "caught_up z 4")
			r.append(removed("bad", "ann"), sent("bad", "secret"))
			later(r)
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "event bad 4", "event bad 5", "left bad 5")
			later(r)
			r.append(sent("bad", "secret too"))
			expect(t, f)
		})
		run("while it is read, and closed", func(t *testing.T, r *rig) {
			f := r.open(resumed)
			r.log.damage("bad", damage)
			expectAnyOrder(t, f, "caught_up a 4", "caught_up z 4")
			f.Close()
			if s := r.hub.Stats(); s.Chats != 0 {
				t.Errorf("the closed feed leaves %d chats", s.Chats)
			}
		})
		run("after a loss of the tail", func(t *testing.T, r *rig) {
			// All four chats are in one partition with a chat that is missed.
			var others []domain.ChatID
			for i := 0; len(others) < 3; i++ {
				if c := domain.ChatID(fmt.Sprint("c", i)); r.tail.PartitionOf(c) == r.tail.PartitionOf("bad") {
					r.append(created(c, "owner"))
					others = append(others, c)
				}
			}
			f := r.open(named("", head(others[0]), head(others[1]), head("bad"), head(others[2])))
			expectAnyOrder(t, f, "caught_up bad 4", fmt.Sprintf("caught_up %s 1", others[0]), fmt.Sprintf("caught_up %s 1", others[1]), fmt.Sprintf("caught_up %s 1", others[2]))
			r.log.damage("bad", damage)
			r.tail.change = func(ports.Notice) []ports.Notice { return nil }
			for _, c := range append(others, "bad") {
				r.append(sent(c, "m"))
			}
			r.tail.lose("bad")
			synctest.Wait()
			expectAnyOrder(t, f, fmt.Sprintf("event %s 2", others[0]), fmt.Sprintf("event %s 2", others[1]), fmt.Sprintf("event %s 2", others[2]))
			r.log.damage("bad", nil)
			later(r)
			expect(t, f, "event bad 5")
		})
		run("named", func(t *testing.T, r *rig) {
			f := r.open(named("ann", from("bad", 3)))
			r.log.damage("bad", damage)
			if _, err := f.Next(t.Context()); !isUnreadable(err) {
				t.Errorf("the error is %v", err)
			}
			if _, err := r.hub.Open(t.Context(), named("ann", head("a"), head("bad"))); !isUnreadable(err) {
				t.Errorf("the error is %v", err)
			}
			r.open(all) // which counts and logs the chat
		})
	}
}

func isUnreadable(err error) bool {
	return errors.Is(err, ports.ErrCorrupt) || errors.Is(err, ports.ErrNewerVersion)
}

// expectAnyOrder compares the next messages as a set. After them nothing must come.
func expectAnyOrder(t tb, f *feed.Feed, want ...string) {
	t.Helper()
	missing := make(map[string]struct{}, len(want))
	for _, w := range want {
		missing[w] = struct{}{}
	}
	for {
		switch g := next(f); {
		case g == "nothing" && len(missing) == 0:
			return
		default:
			if _, ok := missing[g]; !ok {
				t.Fatalf("came %q, missing are %q", g, missing)
			}
			delete(missing, g)
		}
	}
}
