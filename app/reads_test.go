package app_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// interrupted is a log on which something happens just before an append.
type interrupted struct {
	*memory.Log
	before  atomic.Pointer[func(ports.Append) error] // once; its error is that of the append
	appends atomic.Int64
}

func (l *interrupted) interrupt(before func(ports.Append) error) { l.before.Store(&before) }

func (l *interrupted) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	l.appends.Add(1)
	if before := l.before.Swap(nil); before != nil {
		if err := (*before)(a); err != nil {
			return ports.Appended{}, err
		}
	}
	return l.Log.Append(ctx, a)
}

// room is a chat of own with m1 to m5 of own, of seqs 3 to 7, in which ann marks what she has read.
type room struct {
	log   *interrupted
	chats *app.Chats // of the process that is tested
	other *app.Chats // of another one
}

func newRoom(t *testing.T) *room {
	t.Helper()
	log := memory.New(wireformat.New(), clock{}, nil)
	r := &room{log: &interrupted{Log: log}, other: process(log, clock{})}
	r.chats = process(r.log, clock{})
	furnish(t.Context(), t, r.other)
	return r
}

func furnish(ctx context.Context, t *testing.T, c *app.Chats) {
	t.Helper()
	if _, err := c.Create(ctx, domain.Create{Chat: "c", Actor: "own", Members: []domain.UserID{"ann"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "own", MessageID: domain.MessageID(fmt.Sprint("m", i+1)), Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
}

// outcome is the result of a call.
type outcome struct {
	done app.Done
	err  error
}

// mark calls MarkRead on a goroutine of its own, and awaits that the mark is recorded.
func (r *room) mark(ctx context.Context, m domain.MessageID, id domain.CommandID) <-chan outcome {
	returned := make(chan outcome, 1)
	go func() {
		marked, err := r.chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ann", MessageID: m, Command: id, AwaitRecorded: true})
		returned <- outcome{marked.Done, err}
	}()
	return returned
}

// marked is how far ann has read, as the log says.
func marked(t *testing.T, log ports.EventLog) domain.Seq {
	loaded, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.ReadEntity("ann")})
	if err != nil {
		t.Error(err)
		return 0
	}
	var mark domain.ReadMark
	for _, r := range loaded.Entities[0].Events {
		mark.Apply(r.Seq, r.Event)
	}
	return mark.Seq
}

// TestMarkRead_JoinsDuringAppend has a higher mark come while a lower one is being appended.
func TestMarkRead_JoinsDuringAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		var late <-chan outcome
		r.log.interrupt(func(ports.Append) error {
			late = r.mark(t.Context(), "m4", "")
			time.Sleep(time.Second)
			return nil
		})
		if first := <-r.mark(t.Context(), "m2", ""); first.err != nil || !first.done.Changed {
			t.Errorf("the first mark: %+v", first)
		}
		if second := <-late; second.err != nil || marked(t, r.log) != 6 {
			t.Errorf("the second mark, of 6: %+v, and the log says %d", second, marked(t, r.log))
		}
	})
}

// TestMarkRead_LeadersOwnTrouble has a call fail, or turn out to have been made before, while another waits for it with a higher mark.
func TestMarkRead_LeadersOwnTrouble(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(t *testing.T, r *room) error
		want   error
		leader app.Done
	}{
		{"reused command id", func(t *testing.T, r *room) error {
			_, err := r.other.React(t.Context(), domain.React{Chat: "c", Actor: "ann", MessageID: "m1", Emoji: "👍", Command: "id"})
			return err
		}, domain.ErrCommandReused, app.Done{}},
		{"duplicate", func(t *testing.T, r *room) error {
			_, err := r.other.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "m2", Command: "id"})
			return err
		}, nil, app.Done{Seq: 8, Changed: true, Duplicate: true}},
		{"deadline", func(*testing.T, *room) error {
			time.Sleep(time.Minute)
			return fmt.Errorf("%w: %w", ports.ErrUnavailable, context.DeadlineExceeded)
		}, context.DeadlineExceeded, app.Done{}},
		{"deadline that only the socket noticed", func(*testing.T, *room) error {
			time.Sleep(time.Minute)
			return fmt.Errorf("%w: i/o timeout", ports.ErrUnavailable)
		}, ports.ErrUnavailable, app.Done{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t)
				var follower, second <-chan outcome
				r.log.interrupt(func(ports.Append) error {
					follower, second = r.mark(t.Context(), "m4", ""), r.mark(t.Context(), "m1", "")
					synctest.Wait()
					return test.before(t, r)
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				leader := <-r.mark(ctx, "m2", "id")
				if !errors.Is(leader.err, test.want) || test.want == nil && leader.err != nil || leader.done != test.leader {
					t.Errorf("the leader: %+v", leader)
				}
				for _, followed := range []<-chan outcome{follower, second} {
					if got := <-followed; got.err != nil || got.done.Duplicate {
						t.Errorf("a follower: %+v", got)
					}
				}
				if seq := marked(t, r.log); seq != 6 {
					t.Errorf("the log says %d, want the follower's 6", seq)
				}
			})
		})
	}
}

// TestMarkRead_LeaderCancelled has the leader's caller give up while it waits for the mark's turn.
func TestMarkRead_LeaderCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		if first := <-r.mark(t.Context(), "m1", ""); first.err != nil {
			t.Fatal(first.err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		leader := r.mark(ctx, "m4", "")
		synctest.Wait()
		follower := r.mark(t.Context(), "m2", "")
		synctest.Wait()
		cancel()
		if got := <-leader; !errors.Is(got.err, context.Canceled) {
			t.Errorf("the leader: %+v", got)
		}
		if got := <-follower; got.err != nil || !got.done.Changed || marked(t, r.log) != 4 {
			t.Errorf("the follower, of 4: %+v, and the log says %d", got, marked(t, r.log))
		}
	})
}

// TestMarkRead_LeaderIsDuplicate has a leader wait for its turn with another's higher mark, when another process carries out the leader's own command.
func TestMarkRead_LeaderIsDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		if first := <-r.mark(t.Context(), "m1", ""); first.err != nil {
			t.Fatal(first.err)
		}
		leader := r.mark(t.Context(), "m2", "id")
		synctest.Wait()
		follower := r.mark(t.Context(), "m4", "")
		r.log.interrupt(func(ports.Append) error {
			_, err := r.other.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "m2", Command: "id"})
			return err
		})
		if got := <-leader; got.err != nil || got.done != (app.Done{Seq: 9, Changed: true, Duplicate: true}) {
			t.Errorf("the leader: %+v", got)
		}
		if got := <-follower; got.err != nil || marked(t, r.log) != 6 {
			t.Errorf("the follower, of 6: %+v, and the log says %d", got, marked(t, r.log))
		}
	})
}

// TestMarkRead_LogFails has many calls wait for one that the log fails: they share its failure instead of trying one after the other.
func TestMarkRead_LogFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		var followers []<-chan outcome
		r.log.interrupt(func(ports.Append) error {
			for range 50 {
				followers = append(followers, r.mark(t.Context(), "m2", ""))
			}
			synctest.Wait()
			return ports.ErrOutcomeUnknown
		})
		if leader := <-r.mark(t.Context(), "m2", ""); !errors.Is(leader.err, ports.ErrOutcomeUnknown) {
			t.Errorf("the leader: %+v", leader)
		}
		for _, follower := range followers {
			if got := <-follower; !errors.Is(got.err, ports.ErrOutcomeUnknown) {
				t.Errorf("a follower: %+v", got)
			}
		}
		if n := r.log.appends.Load(); n != 1 {
			t.Errorf("%d appends", n)
		}
	})
}

// TestMarkRead_ReceiptBeforeOwnMessage has another process record a mark, and the user send a message, within one second: the next mark waits
// for the second to end.
func TestMarkRead_ReceiptBeforeOwnMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		began := time.Now()
		if _, err := r.other.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "m2"}); err != nil {
			t.Fatal(err)
		}
		for _, by := range []domain.UserID{"ann", "own"} {
			if _, err := r.other.Send(t.Context(), domain.Send{Chat: "c", Actor: by, MessageID: domain.MessageID(by), Content: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-r.mark(t.Context(), "own", ""); got.err != nil || !got.done.Changed {
			t.Errorf("%+v", got)
		}
		if took := time.Since(began); took != domain.ReadCoalescing {
			t.Errorf("the marks are %s apart, want %s", took, domain.ReadCoalescing)
		}
	})
}

// ahead is a clock that is not right.
type ahead struct{ by time.Duration }

func (a ahead) Now() time.Time { return time.Now().Add(a.by) }

func (a ahead) Sleep(ctx context.Context, until time.Time) error {
	return clock{}.Sleep(ctx, until.Add(-a.by))
}

// TestMarkRead_ClockOfAnotherProcess has a mark come after one of a process whose clock is an hour ahead: it waits a second, not an hour.
func TestMarkRead_ClockOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		if _, err := process(r.log.Log, ahead{time.Hour}).MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: "m2"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if got := <-r.mark(t.Context(), "m4", ""); got.err != nil || !got.done.Changed {
			t.Errorf("%+v", got)
		}
		if took := time.Since(began); took != domain.ReadCoalescing {
			t.Errorf("the mark took %s, want %s", took, domain.ReadCoalescing)
		}
	})
}

// TestMarkRead_Backdated records marks of the past, which wait for nothing.
func TestMarkRead_Backdated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		began := time.Now()
		for i, m := range []domain.MessageID{"m1", "m2", "m4"} {
			past := r.chats.Backdated(began.Add(time.Duration(i/2-100) * time.Hour)) // the first two at the same time
			if done, err := past.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: m}); err != nil || !done.Changed {
				t.Errorf("%s: %+v, error %v", m, done, err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

// markStep is a call of a random history: a mark of ann's, or a message.
type markStep struct {
	Process int
	At      time.Duration // on the clock of the processes
	Target  int           // a message from 1; 0: ann sends a message instead
	ID      bool          // whether it has a command id
	Await   bool          // whether it awaits that the mark is recorded
	Hasty   time.Duration // when its ctx ends, after it began; 0: never
}

func drawMarkStep(t *rapid.T) markStep {
	millis := func(name string, least, most int) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Millisecond
	}
	s := markStep{
		Process: rapid.IntRange(0, 2).Draw(t, "process"), At: millis("at", 0, 3000), Target: rapid.IntRange(0, 5).Draw(t, "target"),
		ID: rapid.Bool().Draw(t, "with an id"), Await: rapid.Bool().Draw(t, "awaits"),
	}
	if rapid.IntRange(0, 3).Draw(t, "hasty") == 0 {
		s.Hasty = millis("ends", 1, 2000)
	}
	return s
}

// history is a run of random steps: its answers, and their faults.
type history struct {
	log   ports.EventLog
	chats []*app.Chats
	clock ports.Clock
	speed time.Duration // of the clock

	mu     sync.Mutex
	faults []string
	told   map[domain.CommandID][]app.Done
	high   domain.Seq // of the marks that were accepted or recorded
}

func (h *history) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

// play makes the calls, closes the processes and returns the broken rules: a recorded mark is in the log by then, and the highest accepted one at the end;
// marks only go forward, a second apart; a command id gives one answer, and the same again.
func (h *history) play(t *testing.T, steps []markStep) []string {
	h.told = make(map[domain.CommandID][]app.Done)
	furnish(t.Context(), t, h.chats[0])
	began := h.clock.Now()
	var all sync.WaitGroup
	for i, s := range steps {
		all.Go(func() {
			if err := h.clock.Sleep(t.Context(), began.Add(s.At)); err != nil {
				h.fault("%v", err)
				return
			}
			h.take(t, i, s)
		})
	}
	all.Wait()
	for i, c := range h.chats {
		if left := c.Close(t.Context()); left > 0 {
			h.fault("process %d has not recorded %d marks", i, left)
		}
	}
	if seq := marked(t, h.log); seq < h.high {
		h.fault("the log says %d, want at least the highest accepted mark, of %d", seq, h.high)
	}
	for id, published := range h.told {
		var target int
		_, _ = fmt.Sscanf(string(id), "id-%d", &target)
		again, err := h.chats[0].MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("m", target)), Command: id, AwaitRecorded: true})
		for _, done := range published {
			if err != nil || !again.Duplicate || again.Seq != done.Seq || again.Changed != done.Changed {
				h.fault("%s answered %+v, and again %+v, error %v", id, done, again, err)
			}
		}
	}
	h.checkLog(t)
	return h.faults
}

func (h *history) take(t *testing.T, i int, s markStep) {
	ctx := t.Context()
	if s.Hasty > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Hasty/h.speed)
		defer cancel()
	}
	c := h.chats[s.Process]
	if s.Target == 0 {
		if _, err := c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("own-", i)), Content: "x"}); err != nil && s.Hasty == 0 {
			h.fault("send %d: %v", i, err)
		}
		return
	}
	mark := domain.MarkRead{Chat: "c", Actor: "ann", MessageID: domain.MessageID(fmt.Sprint("m", s.Target)), AwaitRecorded: s.Await}
	if s.ID {
		mark.Command = domain.CommandID(fmt.Sprint("id-", s.Target))
	}
	done, err := c.MarkRead(ctx, mark)
	switch {
	case err == nil && (s.Await && !done.Recorded || !done.Recorded && done.Done != app.Done{}):
		h.fault("mark %d answered %+v", i, done)
	case err == nil:
		h.mu.Lock()
		h.high = max(h.high, domain.Seq(s.Target)+2)
		h.mu.Unlock()
		if !done.Recorded {
			return
		}
		if seq := marked(t, h.log); seq < domain.Seq(s.Target)+2 {
			h.fault("mark %d, of %d, was acknowledged while the log says %d", i, s.Target+2, seq)
		}
		if s.ID {
			h.mu.Lock()
			h.told[mark.Command] = append(h.told[mark.Command], done.Done)
			h.mu.Unlock()
		}
	case s.Hasty == 0 || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ports.ErrUnavailable):
		h.fault("mark %d: %v", i, err)
	}
}

func (h *history) checkLog(t *testing.T) {
	page, err := h.log.Read(t.Context(), "c", ports.Range{From: 1, Limit: ports.MaxPage})
	if err != nil {
		h.fault("%v", err)
	}
	var mark domain.ReadMark
	for _, r := range page.Records {
		receipt, ok := r.Event.(domain.ReadReceipt)
		if ok && receipt.ReadSeq <= mark.Seq {
			h.fault("the mark of %d at seq %d does not go forward from %d", receipt.ReadSeq, r.Seq, mark.Seq)
		}
		if apart := r.Event.OccurredAt().Sub(mark.ReceiptAt); ok && apart < domain.ReadCoalescing {
			h.fault("the mark at seq %d comes %s after the one before", r.Seq, apart)
		}
		if ok || domain.Actor(r.Event) == "ann" {
			mark.Apply(r.Seq, r.Event)
		}
	}
}

// slow is a log that is a round trip away: loaded states may be stale by the time of an append.
type slow struct{ *memory.Log }

func (s slow) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	time.Sleep(20 * time.Millisecond)
	return s.Log.Append(ctx, a)
}

// TestMarkRead_SeveralProcesses makes random calls in three processes over one log.
func TestMarkRead_SeveralProcesses(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			steps := rapid.SliceOfN(rapid.Custom(drawMarkStep), 1, 25).Draw(rt, "steps")
			var faults []string
			synctest.Test(t, func(t *testing.T) {
				log := slow{memory.New(wireformat.New(), clock{}, nil)}
				h := &history{log: log, clock: clock{}, speed: 1}
				for range 3 {
					h.chats = append(h.chats, process(log, clock{}))
				}
				faults = h.play(t, steps)
			})
			if len(faults) > 0 {
				rt.Fatal(faults)
			}
		})
	})
	t.Run("redis", func(t *testing.T) {
		for seed := range 3 {
			steps := rapid.SliceOfN(rapid.Custom(drawMarkStep), 40, 60).Example(seed)
			onRedis(t, func(open func() sharedLog) {
				h := &history{log: open(), clock: fast{time.Now()}, speed: faster}
				for range 3 {
					h.chats = append(h.chats, process(open(), h.clock))
				}
				if faults := h.play(t, steps); len(faults) > 0 {
					t.Errorf("history %d: %q of %+v", seed, faults, steps)
				}
			})
		}
	})
}

// TestMarkRead_RepetitionsAreConfirmed has a command that was given before, and one that marks nothing new, be acknowledged only once their results
// are confirmed.
func TestMarkRead_RepetitionsAreConfirmed(t *testing.T) {
	d := newDeciding(t)
	for _, id := range []domain.MessageID{"m1", "m2"} {
		d.did(d.send(id))
	}
	mark := func(m domain.MessageID, id domain.CommandID) (app.Done, error) {
		marked, err := d.chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "bob", MessageID: m, Command: id})
		return marked.Done, err
	}
	first, err := mark("m2", "cmd")
	d.did(nil, err)
	for _, refuse := range []error{nil, ports.ErrUnconfirmed} {
		d.log.refuse, d.log.found = refuse, nil
		again, err := mark("m2", "cmd")
		if !errors.Is(err, refuse) || refuse == nil && (!again.Duplicate || again.Seq != first.Seq) || len(d.log.found) != 1 || d.log.found[0].At.Last != first.Seq {
			t.Errorf("given again: %+v, error %v, confirmed %+v", again, err, d.log.found)
		}
		d.log.found = nil
		if done, err := mark("m1", ""); !errors.Is(err, refuse) || done.Changed || len(d.log.found) != 1 {
			t.Errorf("nothing new: %+v, error %v, confirmed %+v", done, err, d.log.found)
		}
	}
	d.log.refuse = nil
	if _, err := mark("m1", "cmd"); !errors.Is(err, domain.ErrCommandReused) {
		t.Errorf("the id of another mark: %v", err)
	}
}
