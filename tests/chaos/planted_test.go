package chaos

import (
	"testing"
	"time"

	"chatcore/domain"
)

// at is a time of a story, in milliseconds from its beginning.
func at(ms int) time.Time { return time.Time{}.Add(time.Duration(ms) * time.Millisecond) }

// conversation is a story about a log with contents: ada and ben are in the chat, ada says hi, corrects herself, and ben reacts. All of it was handled.
func conversation(events ...domain.Durable) *story {
	if events == nil {
		events = []domain.Durable{
			domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created},
			domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.MemberAdded, User: "ben"},
			domain.MessageNew{Chat: "c", Message: "m3", Sender: "ada", Content: "hi"},
			domain.MessageEdit{Chat: "c", Message: "m3", Editor: "ada", Content: "hello", Revision: 1},
			domain.MessageReaction{Chat: "c", Message: "m3", User: "ben", Emoji: "👍", Action: domain.ReactionAdd},
		}
	}
	s := logged(len(events))
	for i, e := range events {
		s.Log["c"][i].What, s.Log["c"][i].Attempt = e, string("a"+place(i+1).Event)
		s.Acks[i].Asked, s.Acks[i].At = at(10*i), at(10*i+5)
	}
	for i := range events {
		s.handles(first, i+1)
	}
	for i := range s.Records {
		s.Records[i].Content = digest(events[s.Records[i].Seq-1])
	}
	return s
}

// seen is an event as a read gives it.
func (s *story) seen(seq int) Seen {
	l := s.Log["c"][seq-1]
	return Seen{l.Place, digest(l.What)}
}

// reads adds a read of the events up to a seq, at a time.
func (s *story) reads(ms, seq int) *story {
	r := Read{Reader: "A", Chat: "c", Asked: at(ms), At: at(ms + 1)}
	for ; seq > 0; seq-- {
		r.Events = append(r.Events, s.seen(seq))
	}
	s.Reads = append(s.Reads, r)
	return s
}

// says adds a read of the message at a time.
func (s *story) says(ms int, text string) *story {
	s.Reads = append(s.Reads, Read{Reader: "A", Chat: "c", Asked: at(ms), At: at(ms + 1), Messages: []SeenMessage{{ID: "m3", Seq: 3, Text: text}}})
	return s
}

// hears adds a live event.
func (s *story) hears(seq int) *story {
	l := s.Log["c"][seq-1]
	s.Heard = append(s.Heard, Heard{Listener: "a", Place: l.Place, Content: digest(l.What), At: at(100)})
	return s
}

func TestPlantedAnswersAreFound(t *testing.T) {
	create := domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created}
	hi := domain.MessageNew{Chat: "c", Message: "m", Sender: "ada", Content: "hi"}
	finds(t, map[string]planted{
		"not done, and in the log": {
			conversation().but(func(e *Evidence) {
				e.NotDone = []NotDone{{Chat: "c", Ref: "m3", Attempt: "ae3", Err: "store unavailable"}}
			}),
			[]string{`an attempt whose error says that nothing was appended has appended nothing: chat c: an attempt of "m3" returned "store unavailable" and recorded seq 3`},
		},
		"another text than was sent": {
			conversation().but(func(e *Evidence) { e.Acks[2].Text = "ho" }),
			[]string{`an acknowledged message has the content that was sent: chat c: message "m3" was sent as "ho", the log has "hi"`},
		},
		"another content than was delivered": {
			conversation().but(func(e *Evidence) { e.Records[4].Content = "other" }),
			[]string{
				"a delivery has the content of the log: chat c: w0 was given seq 3 with content other",
				"an effect is that of a handler that was started: chat c: seq 3",
			},
		},
		"corrupt though nothing was missing": {
			conversation().but(func(e *Evidence) {
				e.Damaged = []Window{{at(10), at(20)}}
				e.Corrupt = []Failure{{at(5), at(10), "corrupt log", false}, {at(30), at(40), "corrupt log", false}}
			}),
			[]string{"the log is corrupt or lost only while keys of it are missing: chat : at 00:00:00.040 a call returned"},
		},
		"lost though no key was evicted": {
			conversation().but(func(e *Evidence) {
				e.Damaged = []Window{{at(10), at(20)}}
				e.Corrupt = []Failure{{at(12), at(13), "event log lost", true}}
			}),
			[]string{"the log is corrupt or lost only while keys of it are missing: chat : at 00:00:00.013 a call returned"},
		},
		"lost and corrupt while keys were evicted": {
			conversation().but(func(e *Evidence) {
				e.Restores = []Restore{{Dumped: at(60), Begun: at(70), Done: at(80), Noticed: at(90), Evicted: true}}
				e.Corrupt = []Failure{{at(72), at(73), "event log lost", true}, {at(72), at(73), "corrupt log", false}}
			}), nil,
		},
		"a contradiction after a repair": {
			conversation().but(func(e *Evidence) { e.Unmended = []string{"head of c"} }),
			[]string{"a check of the log finds nothing after a repair, and at the end: chat : head of c"},
		},
		"nothing created": {conversation(hi), []string{"begins a chat that there is, or does not begin one"}},
		"created twice":   {conversation(create, create), []string{"seq 2 (domain.ChatUpdate, for \"m2\") begins a chat that there is"}},
		"sent by a user who is gone": {
			conversation(create, domain.MessageNew{Chat: "c", Message: "m", Sender: "ben"}),
			[]string{"an event follows from the events before it: chat c: seq 2 (domain.MessageNew, for \"m2\") is of a user that is not a member"},
		},
		"sent twice":            {conversation(create, hi, hi), []string{"sends a message again"}},
		"an edit of nothing":    {conversation(create, domain.MessageEdit{Message: "m", Editor: "ada", Revision: 1}), []string{"edits a message that is not there"}},
		"an edit by another":    {conversation(create, hi, domain.MessageEdit{Message: "m", Editor: "ben", Revision: 1}), []string{"edits another one's message"}},
		"a revision too far":    {conversation(create, hi, domain.MessageEdit{Message: "m", Editor: "ada", Revision: 2}), []string{"is not the next revision"}},
		"a reaction to nothing": {conversation(create, domain.MessageReaction{Message: "m", User: "ada"}), []string{"reacts to a message that is not there"}},
		"a deletion of nothing": {conversation(create, domain.MessageDelete{Message: "m", By: "ada"}), []string{"deletes a message that is not there"}},
		"a mark at nothing":     {conversation(create, domain.ReadReceipt{Message: "m", User: "ada", ReadSeq: 2}), []string{"marks a message as read that is not there"}},
		"a recorded mark that is gone": {
			conversation(create, hi, domain.ReadReceipt{Message: "m", User: "ada", ReadSeq: 2}).but(func(e *Evidence) {
				e.Marks = []MarkAnswer{
					{Chat: "c", User: "ada", Message: "m", Recorded: true},
					{Chat: "c", User: "ben", Message: "m"},
					{Chat: "c", User: "ben", Message: "m", Recorded: true},
					{Chat: "c", User: "ben", Message: "unknown", Recorded: true},
				}
			}),
			[]string{`a read mark that was answered as recorded is in the log: chat c: the mark of "ben" at message "m" (seq 2) was answered as recorded`},
		},
		"a recorded mark that a restore lost": {
			conversation(create, hi).but(func(e *Evidence) {
				e.Restores = []Restore{{Dumped: at(60), Begun: at(70), Done: at(80), Noticed: at(90)}}
				e.Marks = []MarkAnswer{{Chat: "c", User: "ben", Message: "m", Recorded: true, Asked: at(61), At: at(62)}}
			}), nil,
		},
		"a mark that goes back":     {conversation(create, hi, domain.ReadReceipt{Message: "m", User: "ada", ReadSeq: 2}, domain.ReadReceipt{Message: "m", User: "ada", ReadSeq: 2}), []string{"sets a read mark back"}},
		"a member added twice":      {conversation(create, domain.ChatUpdate{Actor: "ada", Change: domain.MemberAdded, User: "ada"}), []string{"adds a member that is there"}},
		"a stranger who is removed": {conversation(create, domain.ChatUpdate{Actor: "ada", Change: domain.MemberRemoved, User: "ben"}), []string{"removes a member that is not there"}},
		"a stranger who is promoted": {
			conversation(create, domain.ChatUpdate{Actor: "ada", Change: domain.RoleChanged, User: "ben", Role: domain.RoleAdmin, Previous: domain.RoleMember}),
			[]string{"changes the role of a member that was none"},
		},
		"a role that was another": {
			conversation(create, domain.ChatUpdate{Actor: "ada", Change: domain.RoleChanged, User: "ada", Role: domain.RoleAdmin, Previous: domain.RoleMember}),
			[]string{"changes the role of a member that was owner"},
		},
		"a stranger who adds others": {conversation(create, domain.ChatUpdate{Actor: "ben", Change: domain.MemberAdded, User: "cem"}), []string{"is of a user that is not a member"}},
	})
}

func TestPlantedReadsAreFound(t *testing.T) {
	finds(t, map[string]planted{
		"behind what was acknowledged": {
			conversation().reads(40, 3),
			[]string{"a read returns at least the events acknowledged, and those read by the same reader, before its call: chat c: A read up to seq 3 at 00:00:00.041, and seq 4 was acknowledged at 00:00:00.035"},
		},
		"behind what was read before": {
			conversation().reads(42, 5).reads(43, 4),
			[]string{"A read up to seq 4 at 00:00:00.044, and to seq 5 before"},
		},
		"a hole": {
			conversation().reads(100, 5).but(func(e *Evidence) { e.Reads[0].Events = append(e.Reads[0].Events[:1], e.Reads[0].Events[2:]...) }),
			[]string{"a read returns data that the log has or had: chat c: A read seq 3 behind seq 5"},
		},
		"other content": {
			conversation().reads(100, 5).but(func(e *Evidence) { e.Reads[0].Events[1].Content = "other" }),
			[]string{"A read seq 4 with content other"},
		},
		"an event that is not in the log": {
			conversation().reads(100, 5).but(func(e *Evidence) { e.Reads[0].Events[0].Event = "other" }),
			[]string{"A read c #5 other at 00:00:00.101, which the log does not have"},
		},
		"a text that was never said": {
			conversation().says(100, "good day"),
			[]string{`A read message "m3" as "good day" at 00:00:00.101, which it never said`},
		},
		"a text that was corrected before": {
			conversation().says(100, "hi"),
			[]string{`A read message "m3" at 00:00:00.101 as "hi", and seq 5, which changed it, was acknowledged before`},
		},
		"behind while keys were evicted": {
			conversation().reads(72, 3).but(func(e *Evidence) {
				e.Restores = []Restore{{Dumped: at(60), Begun: at(70), Done: at(80), Noticed: at(90), Evicted: true}}
			}), nil,
		},
		"behind before keys were evicted, and while others were restored": {
			conversation().reads(65, 3).reads(112, 3).but(func(e *Evidence) {
				e.Restores = []Restore{
					{Dumped: at(60), Begun: at(70), Done: at(80), Noticed: at(90), Evicted: true}, {Dumped: at(100), Begun: at(110), Done: at(120), Noticed: at(130)},
				}
			}),
			[]string{"A read up to seq 3 at 00:00:00.066, and seq 5 was", "A read up to seq 3 at 00:00:00.113, and seq 5 was"},
		},
		"lost, but not by the restore that there was": {
			conversation().reads(46, 5).but(func(e *Evidence) {
				e.Restores = []Restore{{Dumped: at(60), Done: at(70), Noticed: at(80)}}
				e.Reads[0].Events[0].Event = "other"
			}),
			[]string{"A read c #5 other"},
		},
	})
}

func TestPlantedLiveEventsAndPresenceAreFound(t *testing.T) {
	finds(t, map[string]planted{
		"heard twice": {conversation().hears(3).hears(4).hears(3), []string{"a live listener hears an event at most once: chat c: a heard c #3 e3 again"}},
		"heard with other content": {
			conversation().hears(3).but(func(e *Evidence) { e.Heard[0].Content = "other" }),
			[]string{"a live event is one of the log, with its seq and its content: chat c: a heard c #3 e3 with content other"},
		},
		"heard in another order than the log's": {
			conversation().hears(3).but(func(e *Evidence) { e.Heard[0].Seq = 4 }),
			[]string{"a heard c #4 e3 with content"},
		},
		"heard and not in the log": {
			conversation().hears(3).but(func(e *Evidence) { e.Heard[0].Event = "other" }),
			[]string{"a heard c #3 other at 00:00:00.100, which the log does not have"},
		},
		"offline with heartbeats": {
			conversation().but(func(e *Evidence) {
				e.Presence = &Presence{Beating: []domain.UserID{"ada", "ben"}, Online: []domain.UserID{"ada"}}
			}),
			[]string{"users that send heartbeats are online, and no others: chat : ben sends heartbeats and is not online"},
		},
		"online without heartbeats": {
			conversation().but(func(e *Evidence) { e.Presence = &Presence{Online: []domain.UserID{"ada"}} }),
			[]string{"ada is online and sends no heartbeats"},
		},
	})
}

func TestPlantedLettersAndEffectsAreFound(t *testing.T) {
	poison := func(_ string, _ domain.ChatID, seq domain.Seq) Toxin {
		return map[domain.Seq]Toxin{3: Lasting, 4: Deadly}[seq]
	}
	letter := func(seq domain.Seq, attempts int) *story {
		return conversation().but(func(e *Evidence) {
			e.Poison, e.Attempts = poison, 10
			e.Letters = []Letter{{Group: "g", Chat: "c", Seq: 3, Attempts: 10}, {Group: "g", Chat: "c", Seq: 4, Attempts: 1}, {Group: "g", Chat: "c", Seq: seq, Attempts: attempts}}
		})
	}
	effects := func(change func(map[string]string)) *story {
		return conversation().but(func(e *Evidence) {
			made := make(map[string]string)
			for _, l := range e.Log["c"] {
				made[l.field()] = "1"
			}
			change(made)
			e.Effects = map[domain.ChatID]map[string]string{"c": made}
		})
	}
	finds(t, map[string]planted{
		"nothing wrong":                  {letter(3, 10), nil},
		"no effect missing":              {effects(func(map[string]string) {}), nil},
		"a letter of an event that goes": {letter(2, 10), []string{"only an event whose handler fails for good becomes a dead letter: chat c: seq 2 is a dead letter of g after 10 attempts"}},
		"a letter too early":             {letter(3, 9), []string{"an event is a dead letter after the policy's attempts, not before: chat c: seq 3 is a dead letter of g after 9 attempts instead of 10"}},
		"an effect made twice":           {effects(func(made map[string]string) { made["3 e3"] = "2" }), []string{"Once makes an effect once: chat c: the effect of 3 e3 was made 2 times"}},
		"an effect that is missing":      {effects(func(made map[string]string) { delete(made, "3 e3") }), []string{"Once has made the effect of every event: chat c: c #3 e3 has none"}},
		"an effect of nothing":           {effects(func(made map[string]string) { made["9 e9"] = "1" }), []string{"Once makes no effect of an event that is not in the log: chat c: the effect of 9 e9 was made"}},
	})
}

// operated is a story in which an operator does something after the first two events.
func operated(o Outcome, group string) *story {
	s := logged(3).handles(first, 1).handles(first, 2)
	s.clock = s.clock.Add(time.Millisecond)
	s.Records = append(s.Records, Record{Outcome: o, At: s.clock, Delivery: Delivery{Group: group}})
	return s
}

// repeats has a worker handle an event that has had its effect.
func (s *story) repeats(worker string, seq int) *story {
	return s.starts(worker, seq).record(Already, worker, place(seq))
}

// again has a worker handle an event as if it were the first time, though it has had its effect.
func (s *story) again(worker string, seq int) *story {
	s.starts(worker, seq)
	s.Records[len(s.Records)-1].Redelivered = false
	return s.record(Already, worker, place(seq))
}

// overtaken is a story in which an owner starts a handler after the next owner has started one, and leases were ended early.
func overtaken(e Ending) *story {
	s := logged(2).starts(first, 1).starts(second, 1).handles(first, 1).record(Already, second, place(1)).handles(second, 2)
	s.Groups, s.Endings = []string{"g"}, []Ending{e}
	for i := range s.Records {
		s.Records[i].Group = "g"
	}
	return s
}

func TestPlantedViolationsAroundOperatorsAreFound(t *testing.T) {
	finds(t, map[string]planted{
		"a rebuild that gives everything again": {operated(Rebuilt, "").repeats(second, 1).repeats(second, 2).handles(second, 3), nil},
		"a rebuild that leaves one out": {
			operated(Rebuilt, "").repeats(second, 1).handles(second, 3),
			[]string{"a rebuild gives every event again: chat c: seq 2 (e2) was not started after the rebuild at record 4"},
		},
		"a rebuild that gives one as new": {
			operated(Rebuilt, "").again(second, 1).repeats(second, 2).handles(second, 3),
			[]string{"a delivery that was started before says so: chat c: seq 1"},
		},
		"lost with the group's state": {operated(Resumed, "").again(second, 1).handles(second, 3), nil},
		"lost with the group's state, and as new twice": {
			operated(Resumed, "").again(second, 1).again(second, 1).handles(second, 3),
			[]string{"a delivery that was started before says so: chat c: seq 1"},
		},
		"epochs that begin anew": {
			operated(Resumed, "").but(func(e *Evidence) {
				for i := range e.Records {
					e.Records[i].Epoch = 7
				}
			}).handles(second, 3), nil,
		},
		"epochs that begin anew by themselves": {
			logged(2).handles(second, 1).handles(first, 2),
			[]string{"no effect under a lower epoch after one under a higher", "no handlers of two epochs take turns", "an owner calls no handler once a later one has"},
		},
		"a lease that a jump ended":                       {overtaken(Ending{Window: Window{at(0), at(1)}}), nil},
		"a lease that a rebuild ended":                    {overtaken(Ending{Window{at(0), at(1)}, "g"}), nil},
		"a lease, and a rebuild of another group":         {overtaken(Ending{Window{at(0), at(1)}, "other"}), []string{"an owner calls no handler once a later one has"}},
		"a lease, and a rebuild more than a lease before": {overtaken(Ending{Window{at(-5000), at(-2998)}, "g"}), []string{"an owner calls no handler once a later one has"}},
	})
}

func TestPlantedViolationsAroundARestoreAreFound(t *testing.T) {
	// restored is a story in which the third event was there between a dump and its restore.
	restored := func(asked, answered int) *story {
		s := logged(2).handles(first, 1).handles(first, 2)
		gone := place(3)
		s.record(Started, first, gone).record(Made, first, gone)
		s.Restores = []Restore{{Dumped: at(10), Done: at(20), Noticed: at(25), Log: map[domain.ChatID][]Logged{"c": s.Log["c"]}}}
		s.Acks = append(s.Acks, Ack{Answer: Acknowledged, Chat: "c", Seq: 3, Ref: "m3", Asked: at(asked), At: at(answered)})
		s.Heard = []Heard{{Listener: "a", Place: gone, Decided: at(asked), At: at(answered)}}
		s.Reads = []Read{{Reader: "A", Chat: "c", Asked: at(asked), At: at(answered), Events: []Seen{{Place: gone}}}}
		s.Records = append(s.Records, Record{Outcome: Restored, At: at(20)})
		return s
	}
	late := func(s *story) *story { return s.record(Started, second, place(3)).record(Made, second, place(3)) }
	finds(t, map[string]planted{
		"lost between dump and restore": {restored(12, 13), nil},
		"heard long after the restore": {
			restored(12, 13).but(func(e *Evidence) { e.Heard[0].At = at(90) }), nil,
		},
		"decided after the restore, beside a clock that had jumped": {
			restored(12, 13).but(func(e *Evidence) {
				e.Heard[0].Decided, e.Heard[0].At, e.Endings = at(21), at(22), []Ending{{Window: Window{at(0), at(25)}}}
			}),
			[]string{"a heard c #3 e3 at 00:00:00.022, which the log does not have"},
		},
		"lost though it was acknowledged before the dump": {
			restored(7, 9),
			[]string{
				`acknowledged events are in the log: chat c: seq 3 was acknowledged for "m3", the log ends at 2`,
				"A read c #3 e3 at 00:00:00.009, which the log does not have",
				"a heard c #3 e3 at 00:00:00.009, which the log does not have",
			},
		},
		"acknowledged after the restore, and not in the log": {
			restored(21, 22),
			[]string{
				`acknowledged events are in the log: chat c: seq 3 was acknowledged for "m3", the log ends at 2`,
				"A read c #3 e3 at 00:00:00.022, which the log does not have",
				"a heard c #3 e3 at 00:00:00.022, which the log does not have",
			},
		},
		"an effect after the restore of what it took": {
			late(restored(12, 13)),
			[]string{"an effect is that of an event in the log: chat c: c #3 e3 of log log had an effect at w1"},
		},
		"lost though the dump has it": {
			restored(12, 13).but(func(e *Evidence) {
				e.Restores[0].Log = map[domain.ChatID][]Logged{"c": append(e.Log["c"][:2:2], Logged{Place: place(3), Ref: "m3"})}
			}),
			[]string{
				"acknowledged events are in the log", "an effect is that of an event in the log", "which the log does not have", "which the log does not have",
			},
		},
	})
}

// TestDecided reads the time of an event's id.
func TestDecided(t *testing.T) {
	want := time.UnixMilli(1_795_943_104_384)
	for id, readable := range map[domain.EventID]bool{
		"01a2268c-ff80-775f-aee3-b0504e389944": true, "01a2268c-ff80-475f-aee3-b0504e389944": false, "import:1": false, "": false,
	} {
		got, err := decided(id)
		if readable != (err == nil) || readable && !got.Equal(want) {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
}

// TestPlantedOutsiders has consumers of one epoch: several may have it, and one that was frozen may begin late. Order and effects are held to as in any group.
func TestPlantedOutsiders(t *testing.T) {
	const other = "c1" // of the same epoch as the first
	outside := func(e *Evidence) { e.Outside = e.Groups }
	unmarked := func(s *story) *story { // a consumer that was frozen records its start after that of another one
		return s.but(func(e *Evidence) {
			for i := range e.Records {
				e.Records[i].Redelivered = false
			}
		})
	}
	finds(t, map[string]planted{
		"two consumers of an epoch": {logged(2).handles(first, 1).handles(other, 2).but(outside), nil},
		"in a group of workers":     {logged(2).handles(first, 1).handles(other, 2), []string{"an epoch has one owner: chat c: epoch 1 is of w0 and of c1"}},
		"a frozen consumer":         {unmarked(logged(1).starts(other, 1).handles(first, 1).record(Already, other, place(1))).but(outside), nil},
		"a late consumer": {
			logged(2).starts(first, 1).handles(second, 1).starts(first, 1).record(Fenced, first, place(1)).handles(second, 2).but(outside), nil,
		},
		"too early":  {logged(2).starts(first, 1).handles(other, 2).makes(first, 1).but(outside), []string{"the handler of an event starts when the event before has had its effect", "effects come in the order of the log"}},
		"lost":       {logged(2).handles(first, 1).but(outside), []string{"every event has its effect"}},
		"made again": {logged(1).handles(first, 1).handles(other, 1).but(outside), []string{"an event has its effect once"}},
	})
}
