package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/feedreader"
)

// Promises about feeds.
const (
	FedOnce     Rule = "a feed gives an event once"
	FedOrdered  Rule = "a feed gives the events of a chat in the order of their seqs, and only of chats that it follows"
	FedComplete Rule = "a feed gives every event of a chat, but for those that it says are left out"
	FedReal     Rule = "a feed gives events of the log, with their seq and their content"
	FedAnew     Rule = "a feed begins a chat anew only after data was lost, or may have been and the feed has given no event of the chat that could show it"
	FedOn       Rule = "a feed ends only so that its reader can resume"
)

// Feed is a reader of a feed, with its messages over all connections.
type Feed struct {
	Reader   string
	All      bool                                  // all chats of its user; otherwise the chats of Begin
	Begin    map[domain.ChatID]feedreader.Position // its first positions
	Chats    []domain.ChatID                       // that it follows at the end
	Messages []Fed
}

// Fed is a message of a feed, or the beginning or the end of a connection.
type Fed struct {
	feedreader.Message           // without the event
	Content            string    // of the event, in words
	Decided            time.Time // when the event's command was decided
}

// fed holds the messages of feeds against the log.
func (c *checker) fed() {
	for _, f := range c.Feeds {
		w := feedWalk{checker: c, Feed: f, track: feedreader.NewTrack(f.All, f.Begin), latest: make(map[domain.ChatID]Fed)}
		for _, m := range f.Messages {
			w.message(m)
		}
		w.end()
	}
}

// feedWalk goes through the messages of a feed.
type feedWalk struct {
	*checker
	Feed
	track  *feedreader.Track
	opened Fed                   // the present connection
	latest map[domain.ChatID]Fed // the last event of each chat, if the present connection gave it and nothing but events came since
}

func (w *feedWalk) message(m Fed) {
	if f := w.track.Take(m.Message); f != nil {
		w.fault(*f, m)
	}
	switch m.Kind {
	case feedreader.Opened:
		w.opened = m
		clear(w.latest)
	case feedreader.Ended:
		w.ended(m)
	case feedreader.Event:
		w.event(m)
	case feedreader.Resync:
		w.anew(m)
		delete(w.latest, m.Chat)
	case feedreader.Skipped, feedreader.Joined, feedreader.Left:
		delete(w.latest, m.Chat)
	default:
	}
}

// anew checks that events of a chat were lost, or that the server may have lost some and the present connection has given none to compare with the log.
func (w *feedWalk) anew(m Fed) {
	_, had := w.latest[m.Chat]
	switch {
	case w.Lossy, slices.ContainsFunc(w.Restores, func(r Restore) bool { return !m.At.Before(r.Begun) }):
	case !had && slices.ContainsFunc(w.Restarts, func(r Window) bool { return !m.At.Before(r.From) }):
	default:
		w.violated(FedAnew, m.Chat, m.Seq, "%s began anew at seq %d at %s", w.Reader, m.Seq, m.At.Format("15:04:05.000"))
	}
}

// fault judges a message that breaks the order of its feed.
func (w *feedWalk) fault(f feedreader.Fault, m Fed) {
	rule := FedOrdered
	switch f.Kind {
	case feedreader.Twice:
		rule = FedOnce
	case feedreader.Gap:
		rule = FedComplete
	default:
	}
	// A chat that a loss has undone is left at once, and joined when it is created again.
	if undone := w.Lossy || len(w.Restores) > 0; undone && m.Kind == feedreader.Joined && f.Kind == feedreader.Back {
		return
	}
	w.violated(rule, m.Chat, m.Seq, "%s at %s: %s", w.Reader, m.At.Format("15:04:05.000"), f)
}

// ended checks the error that a server has stated.
func (w *feedWalk) ended(m Fed) {
	if !m.Stated || slices.Contains([]rpc.Code{rpc.CodeUnavailable, rpc.CodeResourceExhausted, rpc.CodeDeadlineExceeded}, m.Code) {
		return
	}
	if m.Code == rpc.CodeInternal && overlap(w.Denied, w.opened.At, m.At) { // reason no_permission
		return
	}
	if m.Code == rpc.CodeDataLoss && (overlap(w.Damaged, w.opened.At, m.At) || w.evicted(w.opened.At, m.At)) {
		return
	}
	w.violated(FedOn, "", 0, "%s ended at %s with %s", w.Reader, m.At.Format("15:04:05.000"), m.Err)
}

func (w *feedWalk) event(m Fed) {
	place := Place{m.Chat, m.Seq, m.ID}
	l, there := w.byID[m.ID]
	switch {
	case there && l.Place == place && inWords(l.What) == m.Content:
	case there:
		w.violated(FedReal, m.Chat, m.Seq, "%s gave %s with content %q, the log has %s with %q", w.Reader, place, m.Content, l.Place, inWords(l.What))
	case !w.mayBeGone(place, m.Decided, m.At):
		w.violated(FedReal, m.Chat, m.Seq, "%s gave %s at %s, which the log does not have", w.Reader, place, m.At.Format("15:04:05.000"))
	}
	before, had := w.latest[m.Chat]
	if had && w.isIn(m) && !w.isIn(before) {
		w.replaced(before, m.At.Format("15:04:05.000"))
	}
	w.latest[m.Chat] = m
}

// isIn reports whether the log has the event of a message.
func (w *feedWalk) isIn(m Fed) bool {
	l, there := w.byID[m.ID]
	return there && l.Seq == m.Seq
}

// replaced is called for an event that the log has lost and replaced, though the feed went on as if it had not.
func (w *feedWalk) replaced(lost Fed, at string) {
	if other, there := w.at(lost.Chat, lost.Seq); there {
		w.violated(FedComplete, lost.Chat, lost.Seq, "%s gave %s, which was lost, and went on at %s without %s", w.Reader, lost.ID, at, other.Event)
	}
}

// end checks that the reader has everything.
func (w *feedWalk) end() {
	positions := w.track.Positions()
	for _, chat := range w.Chats {
		p, known := positions[chat]
		head := domain.Seq(len(w.Log[chat]))
		switch {
		case !known || p.Left:
			w.violated(FedComplete, chat, 0, "%s does not follow the chat at the end", w.Reader)
		case p.Seq != head:
			w.violated(FedComplete, chat, p.Seq, "%s ends at seq %d of %d", w.Reader, p.Seq, head)
		}
		if last, had := w.latest[chat]; had && !w.isIn(last) {
			w.replaced(last, "the end")
		}
	}
}

// inWords returns the content of an event as wordsOf returns that of the API.
func inWords(e domain.Durable) string {
	switch e := e.(type) {
	case domain.MessageNew:
		return words("new", e.Message, e.Sender, e.Content)
	case domain.MessageEdit:
		return words("edit", e.Message, e.Editor, e.Content, e.Revision)
	case domain.MessageDelete:
		return words("delete", e.Message, e.By)
	case domain.MessageReaction:
		return words("reaction", e.Message, e.User, e.Emoji, e.Action == domain.ReactionRemove)
	case domain.ReadReceipt:
		return words("read", e.Message, e.User, e.ReadSeq)
	case domain.ChatUpdate:
		return words("update", e.Actor, e.Title, e.User)
	}
	return fmt.Sprintf("%T", e)
}

// wordsOf returns the content of an event of the API in words.
func wordsOf(e *v1.Event) string {
	actor := e.GetActorId()
	switch e := e.GetEvent().(type) {
	case *v1.Event_MessageNew:
		return words("new", e.MessageNew.GetMessageId(), actor, e.MessageNew.GetContent())
	case *v1.Event_MessageEdit:
		return words("edit", e.MessageEdit.GetMessageId(), actor, e.MessageEdit.GetContent(), e.MessageEdit.GetRevision())
	case *v1.Event_MessageDelete:
		return words("delete", e.MessageDelete.GetMessageId(), actor)
	case *v1.Event_MessageReaction:
		return words("reaction", e.MessageReaction.GetMessageId(), actor, e.MessageReaction.GetEmoji(), e.MessageReaction.GetRemoved())
	case *v1.Event_ReadReceipt:
		return words("read", e.ReadReceipt.GetMessageId(), actor, e.ReadReceipt.GetReadSeq())
	case *v1.Event_ChatUpdate:
		return words("update", actor, e.ChatUpdate.GetTitle(), e.ChatUpdate.GetUserId())
	}
	return e.GetType()
}

func words(all ...any) string { return strings.TrimSuffix(fmt.Sprintln(all...), "\n") }
