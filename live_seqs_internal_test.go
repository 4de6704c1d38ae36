package chatcore

import (
	"context"
	"fmt"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// TestChatSeqs_CountsGapsAndDoubles has events of a partition come again, be missed, and have seqs that were used before.
func TestChatSeqs_CountsGapsAndDoubles(t *testing.T) {
	s := &chatSeqs{bound: 2}
	for i, step := range []struct {
		lost   bool
		chat   domain.ChatID
		seq    domain.Seq
		missed uint64
		again  bool
	}{
		{chat: "a", seq: 7},                                        // the first event that is heard
		{chat: "a", seq: 8},                                        //
		{chat: "a", seq: 8, again: true},                           //
		{chat: "b", seq: 1},                                        //
		{chat: "a", seq: 12, missed: 3},                            //
		{lost: true, chat: "a", seq: 15, missed: 2},                //
		{chat: "a", seq: 15, again: true},                          //
		{lost: true, chat: "a", seq: 4},                            // the log has lost events
		{chat: "a", seq: 5},                                        //
		{lost: true, chat: "b", seq: 2},                            // nothing of this chat was missed
		{lost: true, chat: "a", seq: 6, missed: 0},                 //
		{lost: true, chat: "a", seq: 1<<32 - 1, missed: 1<<32 - 8}, //
	} {
		if step.lost {
			s.lost++
		}
		if missed, again := s.next(step.chat, step.seq); missed != step.missed || again != step.again {
			t.Errorf("step %d: %d missed, again %t", i, missed, again)
		}
	}
	for i := range 10 {
		if s.next(domain.ChatID(fmt.Sprint(i)), 1); len(s.last) > s.bound {
			t.Fatalf("%d chats are remembered", len(s.last))
		}
	}
}

// TestListen_CountsMissedEvents has the tail of a core lose events of a partition.
func TestListen_CountsMissedEvents(t *testing.T) {
	core, err := NewInMemory(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	if err := core.Listen(OnLive(func(context.Context, Live[domain.MessageNew]) {})); err != nil {
		t.Fatal(err)
	}
	if err := core.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	event := func(seq domain.Seq) []ports.Notice {
		return []ports.Notice{{Chat: "c", Seq: seq, JSON: fmt.Appendf(nil, `{"eventId":"e%d","type":"chat:update","v":1,"timestamp":"2026-01-02T03:04:05.006Z","seq":%d}`, seq, seq)}}
	}
	core.live.Appended(0, event(1))
	core.live.Lost(0)
	core.live.Appended(0, event(5))
	core.live.Appended(0, event(5))
	if s := core.Stats(); s.LiveMissed != 3 || s.LiveLosses != 1 || s.LiveReceived != 0 {
		t.Errorf("%d missed, %d losses, %d received", s.LiveMissed, s.LiveLosses, s.LiveReceived)
	}
	again := []ports.Notice{{Chat: "c", Seq: 3, JSON: []byte(`{"type":"message:new"}`)}}
	core.live.Appended(0, again)
	if s := core.Stats(); s.LiveReceived != 0 {
		t.Errorf("an event that comes again is received")
	}
	core.live.Lost(0) // the log may have lost events, and have used their seqs again
	core.live.Appended(0, again)
	if s := core.Stats(); s.LiveMissed != 3 || s.LiveLosses != 2 || s.LiveReceived != 1 {
		t.Errorf("%d missed, %d losses, %d received", s.LiveMissed, s.LiveLosses, s.LiveReceived)
	}
}
