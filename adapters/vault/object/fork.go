package object

import (
	"fmt"

	"chatcore/domain"
)

// ForkObject says what the log had lost when it went on with another history, for example after the promotion of a replica that lacked the last writes. Events
// of the superseded histories above the head of a chat are not in the log any more.
//
// Blocks of journals with a superseded history that were flushed after the fork have no effect: an archiver wrote them that had not noticed it.
type ForkObject struct {
	Name       Name
	At         uint64   // in Unix milliseconds by the clock of the log
	History    string   // that began
	Superseded []string // all histories before it
	Chats      []ForkedChat
}

// ForkedChat is a chat that has lost events.
type ForkedChat struct {
	Chat domain.ChatID
	Head domain.Seq // of the last event that was not lost
	Lost []Event    // from Head + 1 on
}

// check returns why a fork is none, "" if it is one.
func (f *ForkObject) check() string {
	if f.Name.Kind != KindFork {
		return "its name is that of something else"
	}
	for _, c := range f.Chats {
		if c.Chat == "" || len(c.Lost) == 0 {
			return fmt.Sprintf("chat %q has lost %d events", c.Chat, len(c.Lost))
		}
	}
	return ""
}

// EncodeFork returns the bytes of a fork. It returns a [*domain.InvalidError] for a chat that has lost nothing.
func (c *Codec) EncodeFork(f *ForkObject) ([]byte, error) {
	if problem := f.check(); problem != "" {
		return nil, &domain.InvalidError{Field: "fork", Problem: "is not valid: " + problem, Allowed: "chats with lost events"}
	}
	if err := f.Name.Check(); err != nil {
		return nil, err
	}
	var w writer
	w.number(f.At)
	w.text(f.History)
	w.count(len(f.Superseded))
	for _, history := range f.Superseded {
		w.text(history)
	}
	w.count(len(f.Chats))
	for _, chat := range f.Chats {
		w.text(string(chat.Chat))
		w.number(uint64(chat.Head))
		w.count(len(chat.Lost))
		w.events(chat.Lost, chat.seq)
	}
	compressed, err := c.compress(w)
	if err != nil {
		return nil, err
	}
	return seal(KindFork, f.Name, compressed), nil
}

// seq returns the seq of the i-th lost event.
func (c ForkedChat) seq(i int) domain.Seq { return c.Head + 1 + domain.Seq(i) } //nolint:gosec // an index

// DecodeFork decodes a fork. The events share memory.
func (c *Codec) DecodeFork(name Name, data []byte) (*ForkObject, error) {
	body, err := unseal(KindFork, name, data)
	if err != nil {
		return nil, err
	}
	r, err := c.decompress(name, body)
	if err != nil {
		return nil, err
	}
	f := &ForkObject{Name: name, At: r.number(), History: r.text()}
	for range r.count() {
		f.Superseded = append(f.Superseded, r.text())
	}
	for range r.count() {
		chat := ForkedChat{Chat: domain.ChatID(r.text()), Head: domain.Seq(r.number())}
		chat.Lost = r.events(r.count(), chat.seq)
		f.Chats = append(f.Chats, chat)
	}
	if problem := f.check(); r.wrong == "" && problem != "" {
		r.fail("%s", problem)
	}
	return f, r.end(name)
}
