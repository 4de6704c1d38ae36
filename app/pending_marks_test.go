package app_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// soon marks m as read by ann, without awaiting that the mark is recorded.
func soon(ctx context.Context, c *app.Chats, m domain.MessageID) (app.Marked, error) {
	return c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ann", MessageID: m})
}

// TestMarkRead_AcceptsWhatComesTooSoon makes marks within one second: the first is recorded at once, the others are accepted at once, and the highest of
// them is recorded a second after the first.
func TestMarkRead_AcceptsWhatComesTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, began := newRoom(t), time.Now()
		if first, err := soon(t.Context(), r.chats, "m1"); err != nil || !first.Recorded || !first.Changed || marked(t, r.log) != 3 {
			t.Errorf("the first mark: %+v, error %v", first, err)
		}
		for _, m := range []domain.MessageID{"m2", "m5", "m3"} {
			if got, err := soon(t.Context(), r.chats, m); err != nil || got != (app.Marked{}) {
				t.Errorf("%s: %+v, error %v; want it accepted", m, got, err)
			}
		}
		if read, err := soon(t.Context(), r.chats, "m1"); err != nil || !read.Recorded || read.Changed {
			t.Errorf("read that far already: %+v, error %v", read, err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the calls took %s", took)
		}
		if n := r.chats.MarkStats().Pending; n != 1 {
			t.Errorf("%d marks are pending, want the highest one", n)
		}
		time.Sleep(domain.ReadCoalescing)
		synctest.Wait()
		if seq := marked(t, r.log); seq != 7 || r.log.appends.Load() != 2 || r.chats.MarkStats() != (app.MarkStats{}) {
			t.Errorf("a second later the log says %d after %d appends, want 7 after 2; %+v", seq, r.log.appends.Load(), r.chats.MarkStats())
		}
	})
}

// TestMarkRead_RefusesBeforeItAccepts makes calls that are refused within a second after a recorded mark.
func TestMarkRead_RefusesBeforeItAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		if _, err := soon(t.Context(), r.chats, "m1"); err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			cmd  domain.MarkRead
			want error
		}{
			"an outsider":           {domain.MarkRead{Chat: "c", Actor: "eve", MessageID: "m2"}, domain.ErrNotMember},
			"an unknown message":    {domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "none"}, domain.ErrMessageNotFound},
			"a seq beyond the last": {domain.MarkRead{Chat: "c", Actor: "ann", Seq: 99}, domain.ErrSeqRange},
			"no position":           {domain.MarkRead{Chat: "c", Actor: "ann"}, domain.ErrInvalid},
			"two positions":         {domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "m2", Seq: 4}, domain.ErrInvalid},
			"a bad id":              {domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "a b"}, domain.ErrInvalid},
		} {
			if got, err := r.chats.MarkRead(t.Context(), test.cmd); !errors.Is(err, test.want) || got != (app.Marked{}) {
				t.Errorf("%s: %+v, error %v, want %v", name, got, err, test.want)
			}
		}
		if n := r.chats.MarkStats().Pending; n != 0 {
			t.Errorf("%d marks are pending", n)
		}
	})
}

// TestMarkRead_RemovedMeanwhile has a user removed after a mark was accepted: the mark is dropped and counted.
func TestMarkRead_RemovedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for _, m := range []domain.MessageID{"m1", "m2"} {
			if _, err := soon(t.Context(), r.chats, m); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.other.Remove(t.Context(), domain.Remove{Chat: "c", Actor: "own", User: "ann"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(domain.ReadCoalescing)
		synctest.Wait()
		if got := r.chats.MarkStats(); got != (app.MarkStats{Refused: 1}) || marked(t, r.log) != 3 {
			t.Errorf("%+v, and the log says %d", got, marked(t, r.log))
		}
	})
}

// TestMarkRead_AwaitRecordedTakesThePendingMark has a call await a lower mark than the accepted one: both are recorded as one.
func TestMarkRead_AwaitRecordedTakesThePendingMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for _, m := range []domain.MessageID{"m1", "m5"} {
			if _, err := soon(t.Context(), r.chats, m); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-r.mark(t.Context(), "m3", ""); got.err != nil || marked(t, r.log) != 7 {
			t.Errorf("%+v, and the log says %d", got, marked(t, r.log))
		}
		r.chats.Close(t.Context())
		if n := r.log.appends.Load(); n != 2 {
			t.Errorf("%d appends, want 2", n)
		}
	})
}

// failing is a log whose appends fail while it is down.
type failing struct {
	*memory.Log
	down  atomic.Pointer[error]
	takes time.Duration // for each append
}

func (f *failing) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	time.Sleep(f.takes)
	if err := f.down.Load(); err != nil {
		return ports.Appended{}, *err
	}
	return f.Log.Append(ctx, a)
}

// TestMarkRead_CloseRecords closes a process with an accepted mark: Close records it when its time has come. If the log stays down, Close ends with its
// ctx, and counts the mark. Afterwards a mark that comes too soon waits.
func TestMarkRead_CloseRecords(t *testing.T) {
	for name, down := range map[string]bool{"the log is there": false, "the log is down": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &failing{Log: memory.New(wireformat.New(), clock{}, nil)}
				c := process(log, clock{})
				furnish(t.Context(), t, c)
				for _, m := range []domain.MessageID{"m1", "m2"} {
					if _, err := soon(t.Context(), c, m); err != nil {
						t.Fatal(err)
					}
				}
				began, seq, left := time.Now(), domain.Seq(4), 0
				if down {
					log.down.Store(&ports.ErrUnavailable)
					seq, left = 3, 1
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if got := c.Close(ctx); got != left || marked(t, log) != seq {
					t.Errorf("Close left %d marks and the log says %d; want %d and %d", got, marked(t, log), left, seq)
				}
				if took := time.Since(began); !down && took != domain.ReadCoalescing {
					t.Errorf("Close took %s", took)
				}
				synctest.Wait()
				if got := c.MarkStats(); got != (app.MarkStats{Unrecorded: uint64(left)}) {
					t.Errorf("%+v", got)
				}
				log.down.Store(nil)
				if got, err := soon(t.Context(), c, "m4"); err != nil || !got.Recorded {
					t.Errorf("after Close: %+v, error %v", got, err)
				}
				if got, err := soon(t.Context(), c, "m5"); err != nil || !got.Recorded || marked(t, log) != 7 {
					t.Errorf("too soon after Close: %+v, error %v", got, err)
				}
			})
		})
	}
}

// TestMarkRead_PendingModel makes random marks of three users in two processes over one log that fails at times, and removes users. After a quiet time
// the log has the highest accepted mark of each user who is still a member; a recorded mark is in the log when the call returns; marks only go forward
// and are a second apart.
func TestMarkRead_PendingModel(t *testing.T) {
	users := []domain.UserID{"ann", "bob", "cem"}
	type step struct{ Kind, User, Process, Target, Pause int }
	drawn := rapid.Custom(func(t *rapid.T) step {
		of := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
		return step{of("kind", 11), of("user", len(users)-1), of("process", 1), of("target", 9), of("pause", 1500)}
	})
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(drawn, 1, 40).Draw(rt, "steps")
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
			log := &failing{Log: memory.New(wireformat.New(), clock{}, nil)}
			processes := []*app.Chats{process(log, clock{}), process(log, clock{})}
			ctx := t.Context()
			if _, err := processes[0].Create(ctx, domain.Create{Chat: "c", Actor: "own", Members: users}); err != nil {
				fault("%v", err)
			}
			seqs := make([]domain.Seq, 10)
			for i := range seqs {
				sent, err := processes[0].Send(ctx, domain.Send{Chat: "c", Actor: "own", MessageID: domain.MessageID(fmt.Sprint("m", i)), Content: "x"})
				if err != nil {
					fault("%v", err)
				}
				seqs[i] = sent.Seq
			}
			log.takes = 300 * time.Millisecond
			high, removed := make(map[domain.UserID]domain.Seq), make(map[domain.UserID]bool)
			for i, s := range steps {
				user, c := users[s.User], processes[s.Process]
				switch s.Kind {
				case 0:
					log.down.Store(&ports.ErrUnavailable)
				case 1, 2:
					log.down.Store(nil)
				case 3:
					if _, err := c.Remove(ctx, domain.Remove{Chat: "c", Actor: "own", User: user}); err == nil {
						removed[user] = true
					}
				case 4:
					time.Sleep(time.Duration(s.Pause) * time.Millisecond)
				default:
					got, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: user, Seq: seqs[s.Target]})
					switch {
					case err == nil:
						high[user] = max(high[user], seqs[s.Target])
					case removed[user] && errors.Is(err, domain.ErrNotMember), errors.Is(err, ports.ErrUnavailable):
					default:
						fault("mark %d: %v", i, err)
					}
					if mark := markOf(ctx, t, log, user); got.Recorded && mark < seqs[s.Target] {
						fault("mark %d, of %d, is recorded while the log says %d", i, seqs[s.Target], mark)
					}
				}
			}
			log.down.Store(nil)
			time.Sleep(20 * time.Second) // longer than the pause after a failure
			for _, user := range users {
				if mark := markOf(ctx, t, log, user); !removed[user] && mark < high[user] {
					fault("the log says %d of %s, want %d", mark, user, high[user])
				}
			}
			for i, c := range processes {
				if left := c.Close(ctx); left != 0 || c.MarkStats().Pending != 0 {
					fault("process %d has %+v", i, c.MarkStats())
				}
			}
			page, err := log.Read(ctx, "c", ports.Range{From: 1, Limit: ports.MaxPage})
			if err != nil {
				fault("%v", err)
			}
			last := make(map[domain.UserID]domain.ReadReceipt)
			for _, r := range page.Records {
				if receipt, ok := r.Event.(domain.ReadReceipt); ok {
					before, found := last[receipt.User]
					if found && (receipt.ReadSeq <= before.ReadSeq || receipt.At.Sub(before.At) < domain.ReadCoalescing) {
						fault("the receipt %+v comes after %+v", receipt, before)
					}
					last[receipt.User] = receipt
				}
			}
		})
		if len(faults) > 0 {
			rt.Fatal(faults)
		}
	})
}

// TestMarkRead_RaisedDuringTheAppend has a higher mark accepted while the lower one is being appended in the background: it is recorded a second later.
func TestMarkRead_RaisedDuringTheAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for _, m := range []domain.MessageID{"m1", "m2"} {
			if _, err := soon(t.Context(), r.chats, m); err != nil {
				t.Fatal(err)
			}
		}
		r.log.interrupt(func(ports.Append) error {
			_, err := soon(t.Context(), r.chats, "m5")
			return err
		})
		time.Sleep(2 * domain.ReadCoalescing)
		synctest.Wait()
		if seq := marked(t, r.log); seq != 7 || r.chats.MarkStats() != (app.MarkStats{}) {
			t.Errorf("the log says %d, want 7; %+v", seq, r.chats.MarkStats())
		}
	})
}
