package domain

import (
	"slices"
	"time"
)

// Bounds of what a [Thread] keeps.
const (
	MaxThreadWindow       = 1000 // replies that are counted exactly
	MaxThreadRecent       = 8    // replies with their senders
	MaxThreadParticipants = 64
)

// Thread is the replies to one message, the root. A thread has depth one: a reply is no root.
type Thread struct {
	Replies      int           // without deleted ones
	Newest       Seq           // of the last reply that was sent, deleted or not; 0 if there never was one
	Recent       []ThreadReply // those of the newest MaxThreadRecent replies that are not deleted, newest first
	Participants []UserID      // the last MaxThreadParticipants users that replied, the last one first; deletions do not matter
	More         bool          // whether other users have replied before
	Window       []Seq         // of the newest MaxThreadWindow replies that are not deleted, in their order
}

// ThreadReply is a reply as a thread keeps it.
type ThreadReply struct {
	Seq     Seq
	Message MessageID
	Sender  UserID
	At      time.Time
}

// Apply folds an event that moved the thread.
func (t *Thread) Apply(seq Seq, e Durable) {
	switch e := e.(type) {
	case MessageNew:
		t.add(ThreadReply{Seq: seq, Message: e.Message, Sender: e.Sender, At: e.At})
	case MessageDelete:
		t.remove(e.Sent)
	}
}

func (t *Thread) add(r ThreadReply) {
	t.Replies++
	t.Newest = r.Seq
	t.Recent = slices.Insert(t.Recent, 0, r)
	t.Recent = t.Recent[:min(len(t.Recent), MaxThreadRecent)]
	if t.Window = append(t.Window, r.Seq); len(t.Window) > MaxThreadWindow {
		t.Window = slices.Delete(t.Window, 0, len(t.Window)-MaxThreadWindow)
	}
	if i := slices.Index(t.Participants, r.Sender); i >= 0 {
		t.Participants = slices.Delete(t.Participants, i, i+1)
	}
	t.Participants = slices.Insert(t.Participants, 0, r.Sender)
	if len(t.Participants) > MaxThreadParticipants {
		t.Participants, t.More = t.Participants[:MaxThreadParticipants], true
	}
}

// remove removes a reply. A message is deleted once.
func (t *Thread) remove(sent Seq) {
	t.Replies--
	t.Recent = slices.DeleteFunc(t.Recent, func(r ThreadReply) bool { return r.Seq == sent })
	if i, there := slices.BinarySearch(t.Window, sent); there {
		t.Window = slices.Delete(t.Window, i, i+1)
	}
}

// Clone implements [State].
func (t *Thread) Clone() State {
	clone := *t
	clone.Recent, clone.Participants, clone.Window = slices.Clone(t.Recent), slices.Clone(t.Participants), slices.Clone(t.Window)
	return &clone
}

// LastReply returns the seq of the last reply that is not deleted, 0 if the thread keeps none.
func (t *Thread) LastReply() Seq {
	if len(t.Window) == 0 {
		return 0
	}
	return t.Window[len(t.Window)-1]
}

// After returns how many replies above a seq are not deleted. atLeast reports whether there may be more: the thread has replies that it does not count exactly any more.
func (t *Thread) After(base Seq) (n int, atLeast bool) {
	i, _ := slices.BinarySearch(t.Window, base+1)
	return len(t.Window) - i, i == 0 && t.Replies > len(t.Window)
}

// answerable refuses a message that cannot be the root of a thread.
func (m Message) answerable() error {
	switch {
	case !m.Exists():
		return refuse(ErrMessageNotFound, "chat %q has no message %q to answer in a thread", m.Chat, m.ID)
	case m.Thread != "":
		return refuse(ErrThread, "message %q of chat %q is a reply in the thread of %q", m.ID, m.Chat, m.Thread)
	}
	return nil
}
