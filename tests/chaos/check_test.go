package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore/domain"
)

// story is a run in short form: events of a chat, and the actions of workers, in order.
type story struct {
	Evidence
	clock time.Time
}

const (
	first  = "w0" // a worker that owns the chat under epoch 1
	second = "w1" // one that takes over, under epoch 2
)

// logged begins with so many events of chat c in the log, all of them acknowledged.
func logged(n int) *story {
	s := &story{Evidence: Evidence{LogID: "log", Log: make(map[domain.ChatID][]Logged), Groups: []string{""}}}
	for seq := range n {
		l := Logged{Place: place(seq + 1), Ref: fmt.Sprint("m", seq+1)}
		s.Log["c"] = append(s.Log["c"], l)
		s.Acks = append(s.Acks, Ack{Answer: Acknowledged, Chat: "c", Seq: l.Seq, Ref: l.Ref})
	}
	return s
}

func place(seq int) Place {
	return Place{Chat: "c", Seq: domain.Seq(seq), Event: domain.EventID(fmt.Sprint("e", seq))} //nolint:gosec // small
}

func (s *story) record(o Outcome, worker string, p Place) *story {
	epoch := uint64(1)
	if worker == second {
		epoch = 2
	}
	s.clock = s.clock.Add(time.Millisecond)
	d := Delivery{Place: p, Log: "log", Attempt: 1, Epoch: epoch, Worker: worker, Entered: s.clock}
	for _, r := range s.Records {
		switch {
		case r.Outcome == Started && r.Place == p && r.Worker == worker && o != Started: // it belongs to that start
			d = r.Delivery
		case r.Outcome == Started && r.Place == p && r.Epoch <= epoch:
			d.Redelivered = true
		}
	}
	s.Records = append(s.Records, Record{Outcome: o, At: s.clock, Delivery: d})
	return s
}

func (s *story) starts(worker string, seq int) *story { return s.record(Started, worker, place(seq)) }
func (s *story) makes(worker string, seq int) *story  { return s.record(Made, worker, place(seq)) }
func (s *story) handles(worker string, seq int) *story {
	return s.starts(worker, seq).makes(worker, seq)
}

// but changes the evidence.
func (s *story) but(change func(*Evidence)) *story {
	change(&s.Evidence)
	return s
}

// planted is a story with violations.
type planted struct {
	story *story
	want  []string // each in one violation, in this order
}

// finds checks that exactly the planted violations are found.
func finds(t *testing.T, stories map[string]planted) {
	t.Helper()
	for name, planted := range stories {
		t.Run(name, func(t *testing.T) {
			found, _ := Check(planted.story.Evidence)
			if len(found) != len(planted.want) {
				t.Errorf("found %d violations, want %d", len(found), len(planted.want))
			}
			for i, v := range found {
				if i >= len(planted.want) {
					t.Errorf("%q", v)
				} else if !strings.Contains(v.String(), planted.want[i]) {
					t.Errorf("%q\nwant %q", v, planted.want[i])
				}
				if v.Record >= 0 && planted.story.Records[v.Record].Chat != v.Chat {
					t.Errorf("%q points to %q", v, planted.story.Records[v.Record])
				}
			}
		})
	}
}

func TestPlantedViolationsAreFound(t *testing.T) {
	finds(t, map[string]planted{
		"an event without effect": {
			logged(3).handles(first, 1).handles(first, 2),
			[]string{`every event has its effect: chat c: seq 3 (e3, for "m3") has no effect`},
		},
		"an event in the middle without effect": {
			logged(3).handles(first, 1).handles(first, 3),
			[]string{
				"starts when the event before has had its effect: chat c: the handler of seq 3 started at w0 when seq 2 had had no effect",
				"every event has its effect: chat c: seq 2",
			},
		},
		"a chat without any effect": {
			logged(1),
			[]string{"every event has its effect: chat c: seq 1"},
		},
		"effects in the wrong order": {
			logged(3).handles(first, 1).starts(first, 2).handles(first, 3).makes(first, 2),
			[]string{
				"starts when the event before has had its effect: chat c: the handler of seq 3",
				"effects come in the order of the log: chat c: the effect of seq 2 (w0, epoch 1) comes after that of seq 3 (w0, epoch 1)",
			},
		},
		"two handlers of a chat at once": {
			logged(2).starts(first, 1).starts(first, 2).makes(first, 1).makes(first, 2),
			[]string{"the handler of seq 2 started at w0 when seq 1 had had no effect"},
		},
		"an effect made twice": {
			logged(2).handles(first, 1).handles(second, 1).handles(second, 2),
			[]string{"an event has its effect once: chat c: seq 1 has a second effect, at w1 under epoch 2"},
		},
		"a gap in the log": {
			logged(3).handles(first, 1).handles(first, 3).but(func(e *Evidence) {
				e.Log["c"] = slices.Delete(e.Log["c"], 1, 2)
				e.Acks = slices.Delete(e.Acks, 1, 2)
			}),
			[]string{
				"the log's seqs are 1, 2, 3, …: chat c: event 2 of the log has seq 3",
				"the handler of seq 3 started",
			},
		},
		"an event twice in the log": {
			logged(2).handles(first, 1).handles(first, 2).but(func(e *Evidence) {
				e.Log["d"] = []Logged{{Place: Place{Chat: "d", Seq: 1, Event: "e1"}, Ref: "m1"}}
				e.Records = append(e.Records,
					Record{Outcome: Started, Delivery: Delivery{Place: e.Log["d"][0].Place, Log: "log", Worker: first}},
					Record{Outcome: Made, Delivery: Delivery{Place: e.Log["d"][0].Place, Log: "log", Worker: first}})
			}),
			[]string{
				"an event is in the log once: chat d: event e1 is c #1 e1 and d #1 e1",
				"an effect is that of an event in the log: chat c: c #1 e1",
				"the handler of seq 2 started",
				"every event has its effect: chat c: seq 1",
			},
		},
		"acknowledged and lost at the end of the log": {
			logged(1).handles(first, 1).but(func(e *Evidence) {
				e.Acks = append(e.Acks, Ack{Answer: Acknowledged, Chat: "c", Seq: 2, Ref: "m2"})
			}),
			[]string{`acknowledged events are in the log: chat c: seq 2 was acknowledged for "m2", the log ends at 1`},
		},
		"acknowledged, lost, and its seq used again": {
			logged(1).handles(first, 1).but(func(e *Evidence) {
				e.Lossy = true
				e.Acks = append(e.Acks, Ack{Answer: Acknowledged, Chat: "c", Seq: 1, Ref: "m0"})
			}),
			[]string{`seq 1 was acknowledged for "m0", the log has "m1" there`},
		},
		"unconfirmed and lost where nothing may be": {
			logged(1).handles(first, 1).but(func(e *Evidence) {
				e.Acks = append(e.Acks, Ack{Answer: Unconfirmed, Chat: "c", Seq: 2, Ref: "m2"})
			}),
			[]string{`seq 2 was acknowledged for "m2"`},
		},
		"an effect of nothing": {
			logged(1).handles(first, 1).handles(first, 2),
			[]string{"an effect is that of an event in the log: chat c: c #2 e2 of log log had an effect at w0 and is not in log log"},
		},
		"an effect in another log": {
			logged(1).but(func(e *Evidence) { e.Lossy, e.LogID = true, "another" }).handles(first, 1),
			[]string{"c #1 e1 of log log had an effect at w0 and is not in log another", "every event has its effect: chat c: seq 1"},
		},
		"an event that was taken for the one that had its seq before": {
			logged(3).but(func(e *Evidence) { e.Lossy = true }).handles(first, 1).record(Started, first, gone).record(Made, first, gone).handles(first, 3),
			[]string{`an event has its effect though Redis lost another one of its seq that had one: chat c: seq 2 (e2, for "m2") has no effect`},
		},
		"an effect under a lower epoch": {
			logged(3).handles(first, 1).starts(first, 3).handles(second, 2).makes(first, 3),
			[]string{
				"the handler of seq 3 started at w0 when seq 2 had had no effect",
				"no effect under a lower epoch after one under a higher: chat c: seq 3 has its effect under epoch 1 (w0) after seq 2 had its under epoch 2 (w1)",
			},
		},
		"an effect without a handler": {
			logged(1).makes(first, 1),
			[]string{"an effect is that of a handler that was started: chat c: seq 1 has an effect at w0"},
		},
		"an owner that is superseded starts the next one": {
			logged(4).handles(first, 1).handles(second, 2).handles(first, 3).handles(second, 4).but(func(e *Evidence) { e.Freezes = 1 }),
			[]string{
				"no effect under a lower epoch after one under a higher: chat c: seq 3",
				"no handlers of two epochs take turns: chat c: the handler of seq 3 started under epoch 1 (w0) after that of seq 2 under epoch 2 (w1)",
			},
		},
		"a second start that is said to be the first": {
			logged(1).starts(first, 1).handles(second, 1).but(func(e *Evidence) {
				e.Records[1].Redelivered, e.Records[2].Redelivered = false, false
			}),
			[]string{"a delivery that was started before says so: chat c: seq 1 was started before, under epoch 1, and is given to w1 under epoch 2 as new"},
		},
		"a handler called by an owner that is superseded": {
			logged(1).starts(first, 1).handles(second, 1).starts(first, 1).starts(first, 1).but(func(e *Evidence) { e.Freezes = 1 }),
			[]string{
				"an owner calls no handler once a later one has, except for deliveries under way when it froze: chat c: w0 called the handler of seq 1 under epoch 1, 2ms after",
				"w0 called the handler of seq 1 under epoch 1, 3ms after one was called under epoch 2",
			},
		},
		"one epoch of two workers": {
			logged(2).handles(first, 1).record(Started, "w9", place(2)).record(Made, "w9", place(2)),
			[]string{"an epoch has one owner: chat c: epoch 1 is of w0 and of w9"},
		},
	})
}

func TestWhatMayHappenIsNoViolation(t *testing.T) {
	unconfirmed := Ack{Answer: Unconfirmed, Chat: "c", Seq: 2, Ref: "gone"}
	for name, run := range map[string]struct {
		story *story
		lost  Losses
	}{
		"nothing":    {story: logged(0)},
		"plain":      {story: logged(3).handles(first, 1).handles(first, 2).handles(first, 3)},
		"a takeover": {story: logged(3).handles(first, 1).starts(first, 2).handles(second, 2).handles(second, 3)},
		"a failed handler is started again": {
			story: logged(2).starts(first, 1).starts(first, 1).makes(first, 1).handles(first, 2),
		},
		"an effect whose end was lost is asked for again": {
			story: logged(2).handles(first, 1).starts(second, 1).record(Already, second, place(1)).handles(second, 2),
		},
		"an owner that froze comes too late": {
			story: logged(3).starts(first, 1).handles(second, 1).record(Fenced, first, place(1)).starts(first, 1).handles(second, 2).handles(second, 3).
				but(func(e *Evidence) { e.Freezes = 1 }),
		},
		"an owner that froze is before its successor's effect": {
			story: logged(2).starts(first, 1).starts(second, 1).makes(first, 1).record(Already, second, place(1)).handles(second, 2),
		},
		"an outcome that stays unknown": {
			story: logged(1).handles(first, 1).but(func(e *Evidence) {
				e.Acks = append(e.Acks, Ack{Answer: Unknown, Chat: "c", Ref: "m7"})
			}),
		},
		"unconfirmed and kept": {
			story: logged(1).handles(first, 1).but(func(e *Evidence) { e.Acks[0].Answer = Unconfirmed }),
		},
		"unconfirmed and lost, after it had its effect": {
			story: logged(2).but(func(e *Evidence) {
				e.Lossy = true
				e.Acks = append(e.Acks, unconfirmed)
			}).handles(first, 1).record(Started, first, gone).record(Made, first, gone).handles(second, 2),
			lost: Losses{Unconfirmed: []Ack{unconfirmed}, Effects: []Record{{Outcome: Made}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, lost := Check(run.story.Evidence)
			for _, v := range found {
				t.Errorf("found %q", v)
			}
			if !slices.Equal(lost.Unconfirmed, run.lost.Unconfirmed) || len(lost.Effects) != len(run.lost.Effects) {
				t.Errorf("lost %+v, want %+v", lost, run.lost)
			}
		})
	}
}

// gone is an event that took a seq before the one that has it now.
var gone = Place{Chat: "c", Seq: 2, Event: "gone"}
