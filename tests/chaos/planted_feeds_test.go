package chaos

import (
	"testing"

	rpc "connectrpc.com/connect"

	"chatcore/domain"
	"chatcore/tests/feedreader"
)

// opens begins a connection of the story's feed of chat c at a time.
func (s *story) opens(ms int) *story {
	if s.Feeds == nil {
		s.Feeds = []Feed{{Reader: "F", Begin: map[domain.ChatID]feedreader.Position{"c": {Known: true}}, Chats: []domain.ChatID{"c"}}}
	}
	return s.message(feedreader.Message{Kind: feedreader.Opened, At: at(ms)})
}

func (s *story) message(m feedreader.Message) *story {
	f := Fed{Message: m}
	if m.Kind == feedreader.Event {
		f.Content = inWords(s.byEvent(m.ID).What)
	}
	s.Feeds[0].Messages = append(s.Feeds[0].Messages, f)
	return s
}

func (s *story) byEvent(id domain.EventID) Logged {
	for _, l := range s.Log["c"] {
		if l.Event == id {
			return l
		}
	}
	return Logged{}
}

// gives adds the events of the log from a seq to a seq to the feed, 100 ms after the beginning.
func (s *story) gives(from, to int) *story {
	for seq := from; seq <= to; seq++ {
		l := s.Log["c"][seq-1]
		s.message(feedreader.Message{Kind: feedreader.Event, Chat: "c", Seq: l.Seq, ID: l.Event, At: at(100)})
	}
	return s
}

// givesLost adds an event that the log does not have at its seq.
func (s *story) givesLost(seq domain.Seq) *story {
	s.message(feedreader.Message{Kind: feedreader.Event, Chat: "c", Seq: seq, ID: lostEvent, At: at(65)})
	last := s.Feeds[0].Messages
	last[len(last)-1].Decided = at(64)
	return s
}

const lostEvent = "lost"

func (s *story) states(kind feedreader.Kind, from, seq domain.Seq, ms int) *story {
	return s.message(feedreader.Message{Kind: kind, Chat: "c", From: from, Seq: seq, At: at(ms)})
}

func (s *story) closes(code rpc.Code, ms int) *story {
	return s.message(feedreader.Message{Kind: feedreader.Ended, Code: code, Stated: true, Err: code.String(), At: at(ms)})
}

// restored has older data restored at 70 ms, which took seq 5 back.
func (s *story) restored() *story {
	s.Restores = []Restore{{Dumped: at(0), Begun: at(70), Done: at(80), Noticed: at(90)}}
	return s
}

// restarted has a server started again at 70 ms, which lost nothing.
func (s *story) restarted() *story {
	s.Restarts = []Window{{at(70), at(80)}}
	return s
}

func TestPlantedFeedsAreFound(t *testing.T) {
	all := func(s *story) *story {
		s.Feeds[0].All, s.Feeds[0].Begin = true, nil
		return s
	}
	finds(t, map[string]planted{
		"all in order":               {conversation().opens(0).gives(1, 5), nil},
		"over two connections":       {conversation().opens(0).gives(1, 2).closes(rpc.CodeUnavailable, 50).opens(60).gives(3, 5), nil},
		"skipped":                    {conversation().opens(0).states(feedreader.Skipped, 1, 3, 10).gives(4, 5), nil},
		"a chat that is joined":      {all(conversation().opens(0).states(feedreader.Joined, 0, 1, 10).gives(2, 5)), nil},
		"begun anew after a restore": {conversation().opens(0).gives(1, 4).givesLost(5).states(feedreader.Resync, 0, 4, 95).gives(5, 5).restored(), nil},
		"begun anew after a restart, without an event to compare": {
			conversation().opens(0).gives(1, 3).opens(50).states(feedreader.Resync, 0, 3, 75).gives(4, 5).restarted(), nil,
		},
		"lost between two connections": {conversation().opens(0).gives(1, 3).givesLost(4).opens(90).gives(5, 5).restored(), nil},
		"internal while a right was taken": {
			conversation().opens(0).gives(1, 5).closes(rpc.CodeInternal, 15).but(func(e *Evidence) { e.Denied = []Window{{at(10), at(20)}} }), nil,
		},
		"corrupt while keys were missing": {conversation().opens(0).gives(1, 5).closes(rpc.CodeDataLoss, 15).but(func(e *Evidence) { e.Damaged = []Window{{at(10), at(20)}} }), nil},

		"twice": {
			conversation().opens(0).gives(1, 3).gives(3, 5),
			[]string{"a feed gives an event once: chat c: F at 00:00:00.100: an event comes twice: chat c: event e3 at seq 3"},
		},
		"in another order": {
			conversation().opens(0).states(feedreader.Skipped, 1, 3, 10).states(feedreader.Skipped, 2, 3, 10).gives(4, 5),
			[]string{"a feed gives the events of a chat in the order of their seqs, and only of chats that it follows: chat c: F at 00:00:00.010: a feed goes back"},
		},
		"after the chat was left": {
			all(conversation().opens(0).gives(1, 2).states(feedreader.Left, 0, 2, 10).gives(3, 3).states(feedreader.Joined, 0, 3, 10).gives(4, 5)),
			[]string{"a message is of a chat that the feed does not follow: chat c: event at seq 3"},
		},
		"a hole": {
			conversation().opens(0).gives(1, 2).gives(4, 5),
			[]string{"a feed gives every event of a chat, but for those that it says are left out: chat c: F at 00:00:00.100: events are missing"},
		},
		"a hole between two connections": {
			conversation().opens(0).gives(1, 2).opens(50).gives(4, 5),
			[]string{"a feed gives every event of a chat, but for those that it says are left out: chat c: F at 00:00:00.100: events are missing"},
		},
		"the end is missing": {
			conversation().opens(0).gives(1, 4),
			[]string{"a feed gives every event of a chat, but for those that it says are left out: chat c: F ends at seq 4 of 5"},
		},
		"not followed": {
			all(conversation().opens(0)),
			[]string{"a feed gives every event of a chat, but for those that it says are left out: chat c: F does not follow the chat at the end"},
		},
		"lost, and it went on": {
			conversation().opens(0).gives(1, 3).givesLost(4).gives(5, 5).restored(),
			[]string{"a feed gives every event of a chat, but for those that it says are left out: chat c: F gave " + lostEvent + ", which was lost, and went on at 00:00:00.100 without e4"},
		},
		"lost at the end, and it never noticed": {
			conversation().opens(0).gives(1, 4).givesLost(5).restored(),
			[]string{"F gave " + lostEvent + ", which was lost, and went on at the end without e5"},
		},
		"not in the log": {
			conversation().opens(0).gives(1, 4).givesLost(5),
			[]string{
				"a feed gives events of the log, with their seq and their content: chat c: F gave c #5 " + lostEvent + " at 00:00:00.065, which the log does not have",
				"went on at the end without e5",
			},
		},
		"other content": {
			conversation().opens(0).gives(1, 5).but(func(e *Evidence) { e.Feeds[0].Messages[3].Content = "other" }),
			[]string{`a feed gives events of the log, with their seq and their content: chat c: F gave c #3 e3 with content "other"`},
		},
		"begun anew without a loss": {
			conversation().opens(0).gives(1, 4).states(feedreader.Resync, 0, 4, 95).gives(5, 5),
			[]string{string(FedAnew) + ": chat c: F began anew at seq 4 at 00:00:00.095"},
		},
		"begun anew before the restore": {
			conversation().opens(0).gives(1, 4).states(feedreader.Resync, 0, 4, 69).gives(5, 5).restored(),
			[]string{string(FedAnew) + ": chat c: F began anew at seq 4 at 00:00:00.069"},
		},
		"begun anew after a restart, with an event to compare": {
			conversation().opens(0).gives(1, 4).states(feedreader.Resync, 0, 4, 95).gives(5, 5).restarted(),
			[]string{string(FedAnew) + ": chat c: F began anew at seq 4 at 00:00:00.095"},
		},
		"begun anew before the restart": {
			conversation().opens(0).gives(1, 3).opens(50).states(feedreader.Resync, 0, 3, 69).gives(4, 5).restarted(),
			[]string{string(FedAnew) + ": chat c: F began anew at seq 3 at 00:00:00.069"},
		},
		"refused": {
			conversation().opens(0).gives(1, 5).closes(rpc.CodeInternal, 50),
			[]string{"a feed ends only so that its reader can resume: chat : F ended at 00:00:00.050 with internal"},
		},
		"internal after a right was given back": {
			conversation().opens(0).gives(1, 2).opens(25).gives(3, 5).closes(rpc.CodeInternal, 50).but(func(e *Evidence) { e.Denied = []Window{{at(10), at(20)}} }),
			[]string{"a feed ends only so that its reader can resume: chat : F ended at 00:00:00.050 with internal"},
		},
		"corrupt though nothing was missing": {
			conversation().opens(0).gives(1, 5).closes(rpc.CodeDataLoss, 50),
			[]string{"a feed ends only so that its reader can resume: chat : F ended at 00:00:00.050 with data_loss"},
		},
	})
}
