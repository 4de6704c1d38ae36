package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	authors = 12                    // concurrent writers, each in their own chats, reacting to messages of others
	beat    = 60 * time.Millisecond // between two lines of an author
	owner   = domain.UserID("owner")

	// answerPatience bounds how long an author still asks for an answer after the end, longer than the core itself does.
	answerPatience = 30 * time.Second
)

// writers give commands until the end, and record every answer.
type writers struct {
	ctx  context.Context // of commands
	end  context.CancelFunc
	stop chan struct{}
	done sync.WaitGroup

	mu         sync.Mutex
	acks       []Ack
	notDone    []NotDone
	marks      []MarkAnswer
	corrupt    []Failure
	attempts   int
	evicting   int                // answers that name eviction
	damaged    int                // answers that name missing data
	last       error              // the latest failure of a command
	refused    map[string][]error // by reason
	unexpected []error
	latest     [authors]said // the last message of each
}

// said is a message.
type said struct {
	chat    domain.ChatID
	by      domain.UserID
	message domain.MessageID
}

// write starts authors on the given cores, in turns.
func write(t *testing.T, seed uint64, scripts []*script, cores ...*chatcore.Core) *writers {
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	w := &writers{ctx: ctx, end: end, stop: make(chan struct{}), refused: make(map[string][]error)}
	for i := range authors {
		a := &author{
			writers: w, core: cores[i%len(cores)], place: i, rooms: make(map[*script]*room),
			dice:    rand.New(rand.NewPCG(seed, uint64(i))), //nolint:gosec // dice
			marking: make(chan struct{}, 1),
		}
		w.done.Go(func() { a.write(scripts) })
	}
	t.Cleanup(func() { w.finish(0) })
	return w
}

// finish ends the writing. Answers that are still missing after a while are unknown.
func (w *writers) finish(patience time.Duration) {
	w.mu.Lock()
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.mu.Unlock()
	timer := time.AfterFunc(patience, w.end)
	defer timer.Stop()
	w.done.Wait()
	w.end()
}

// order is one command.
type order struct {
	chat domain.ChatID
	ref  string // message id or command id
	text string // of the message that it sends; "" for others

	mayBeRefused bool
	give         func(context.Context, *app.Chats) (app.Done, error)
}

// answered gives a command until its answer is known, and remembers that. Each attempt has a correlation id of its own. The error is a refusal, or
// an answer that never came.
func (w *writers) answered(core *chatcore.Core, o order) error {
	const most = 500 * time.Millisecond
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, most) {
		attempt := w.attempt()
		ack := Ack{Answer: Acknowledged, Chat: o.chat, Ref: o.ref, Text: o.text, Asked: time.Now()}
		done, err := o.give(w.ctx, core.Chats.Correlated(attempt))
		var unconfirmed *ports.UnconfirmedError
		var refusal *domain.Refusal
		switch {
		case err == nil:
			if ack.Seq = done.Seq; done.Changed {
				w.acknowledged(ack)
			}
			return nil
		case errors.As(err, &unconfirmed):
			ack.Answer, ack.Seq = Unconfirmed, unconfirmed.Appended.Last
			w.acknowledged(ack)
			return nil
		}
		w.failed(o, attempt, ack.Asked, err)
		switch {
		case errors.As(err, &refusal):
			if o.mayBeRefused {
				return err
			}
			w.mu.Lock()
			reason := refusal.Reason.Error()
			w.refused[reason] = append(w.refused[reason], fmt.Errorf("%s %q: %w", o.chat, o.ref, err))
			w.mu.Unlock()
			return err
		case w.ctx.Err() == nil && !again(err):
			w.mu.Lock()
			w.unexpected = append(w.unexpected, fmt.Errorf("%s %q: %w", o.chat, o.ref, err))
			w.mu.Unlock()
			return err
		}
		if err := pause(w.ctx, wait); err != nil {
			w.acknowledged(Ack{Answer: Unknown, Chat: o.chat, Ref: o.ref})
			return err
		}
	}
}

func (w *writers) marked(a MarkAnswer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks = append(w.marks, a)
}

// attempt names an attempt.
func (w *writers) attempt() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts++
	return fmt.Sprint("attempt-", w.attempts)
}

// failed records the outcome that an error states.
func (w *writers) failed(o order, attempt string, asked time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = fmt.Errorf("%s %q at %s: %w", o.chat, o.ref, time.Now().Format("15:04:05.000"), err)
	if errors.Is(err, chatcore.ErrEvicting) {
		w.evicting++
	}
	if lost := errors.Is(err, ports.ErrLogLost); lost || errors.Is(err, ports.ErrCorrupt) {
		w.damaged++
		w.corrupt = append(w.corrupt, Failure{Asked: asked, At: time.Now(), Err: err.Error(), Lost: lost})
	}
	if saysNotDone(err) {
		w.notDone = append(w.notDone, NotDone{Chat: o.chat, Ref: o.ref, Attempt: attempt, Err: err.Error()})
	}
}

// saysNotDone reports whether an error promises that nothing was appended.
func saysNotDone(err error) bool {
	if errors.Is(err, ports.ErrOutcomeUnknown) {
		return false
	}
	for _, clear := range []error{ports.ErrUnavailable, ports.ErrOverloaded, ports.ErrConflict, ports.ErrEvicting, ports.ErrCorrupt, ports.ErrLogLost} {
		if errors.Is(err, clear) {
			return true
		}
	}
	var refusal *domain.Refusal
	return errors.As(err, &refusal)
}

// again reports whether the same command may be given again.
func again(err error) bool {
	for _, passing := range []error{ports.ErrUnavailable, ports.ErrOutcomeUnknown, ports.ErrOverloaded, ports.ErrConflict, ports.ErrEvicting, ports.ErrCorrupt, ports.ErrLogLost} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// refusedForEviction counts the calls of writers refused because Redis evicts.
func (w *writers) refusedForEviction() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.evicting
}

// refusedForDamage counts the calls of writers refused because Redis evicts, or because data is missing.
func (w *writers) refusedForDamage() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.evicting + w.damaged
}

func (w *writers) acknowledged(a Ack) {
	a.At = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, a)
}

// author plays the scripts one after another and over again, each in a chat of its own.
type author struct {
	*writers
	core    *chatcore.Core
	place   int
	rooms   map[*script]*room
	dice    *rand.Rand
	marking chan struct{} // room for one read mark: it may have to wait for a second
}

// room is a chat as its author knows it.
type room struct {
	author   *author
	id       domain.ChatID
	lines    int // played so far
	commands int
	created  bool
	members  map[domain.UserID]struct{}
	said     []said // the latest messages
}

func (a *author) write(scripts []*script) {
	const together = 20 // lines, before the author goes to another chat
	for i := a.place; ; i++ {
		s := scripts[i%len(scripts)]
		r := a.rooms[s]
		if r == nil {
			r = &room{author: a, id: roomOf(s, a.place)}
			a.rooms[s] = r
		}
		for range min(together, len(s.lines)) {
			select {
			case <-a.stop:
				return
			default:
			}
			if err := r.play(s.lines[r.lines%len(s.lines)]); err != nil { // refused, as something was lost, or never answered
				r.created = false
			}
			r.lines++
			if pause(a.ctx, beat/2+time.Duration(a.dice.Int64N(int64(beat)))) != nil {
				return
			}
		}
	}
}

// roomOf returns the chat in which an author plays a script.
func roomOf(s *script, author int) domain.ChatID {
	return domain.ChatID(fmt.Sprintf("%s.%d", s.chat, author))
}

// command names the next command.
func (r *room) command(what string) domain.CommandID {
	r.commands++
	return domain.CommandID(fmt.Sprintf("%s:%d", what, r.commands))
}

// play performs a line, and sometimes an action about it.
func (r *room) play(l line) error {
	if err := r.create(); err != nil {
		return err
	}
	user := domain.UserID(l.User)
	switch l.Kind {
	case "message", "action":
		if err := r.join(user); err != nil {
			return err
		}
		return r.say(user, l.Text)
	case "join":
		return r.join(user)
	case "leave":
		return r.leave(user)
	default: // rename
		if err := r.leave(user); err != nil {
			return err
		}
		return r.join(domain.UserID(l.Text))
	}
}

func (r *room) create() error {
	if r.created {
		return nil
	}
	id := r.command("create")
	err := r.author.answered(r.author.core, order{chat: r.id, ref: string(id), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		return chats.Create(ctx, domain.Create{Chat: r.id, Actor: owner, Title: string(r.id), Members: []domain.UserID{"first", "second"}, Command: id})
	}})
	if err != nil && !errors.Is(err, domain.ErrChatExists) {
		return err
	}
	r.created, r.members, r.said = true, map[domain.UserID]struct{}{owner: {}}, nil
	return nil
}

func (r *room) join(user domain.UserID) error {
	if _, there := r.members[user]; there {
		return nil
	}
	id := r.command("join")
	err := r.author.answered(r.author.core, order{chat: r.id, ref: string(id), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		return chats.Add(ctx, domain.Add{Chat: r.id, Actor: owner, User: user, Command: id})
	}})
	if err == nil {
		r.members[user] = struct{}{}
	}
	return err
}

func (r *room) leave(user domain.UserID) error {
	if _, there := r.members[user]; !there || user == owner {
		return nil
	}
	delete(r.members, user)
	id := r.command("leave")
	return r.author.answered(r.author.core, order{chat: r.id, ref: string(id), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		return chats.Remove(ctx, domain.Remove{Chat: r.id, Actor: owner, User: user, Command: id})
	}})
}

// say posts a message. One in ten is edited, one in five gets a reaction, one in ten is read, and sometimes there is one to a message of another
// author.
func (r *room) say(user domain.UserID, text string) error {
	a := r.author
	m := said{chat: r.id, by: user, message: domain.MessageID(r.command("message"))}
	content, err := domain.NewContent(text)
	if err != nil {
		return err
	}
	err = a.answered(a.core, order{chat: r.id, ref: string(m.message), text: string(content), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		sent, err := chats.Send(ctx, domain.Send{Chat: r.id, Actor: user, MessageID: m.message, Content: text})
		return app.Done{Seq: sent.Seq, Changed: err == nil}, err
	}})
	if err != nil {
		return err
	}
	const remembered = 8
	r.said = append(r.said[max(0, len(r.said)-remembered+1):], m)
	a.mu.Lock()
	a.latest[a.place] = m
	other := a.latest[a.dice.IntN(authors)]
	a.mu.Unlock()

	earlier := r.said[a.dice.IntN(len(r.said))]
	switch a.dice.IntN(10) {
	case 0:
		if _, there := r.members[earlier.by]; there {
			return r.edit(earlier, text)
		}
	case 1, 2:
		return r.react(earlier, owner)
	case 3:
		r.read(m)
	case 4:
		if other.message != "" {
			_ = r.react(other, owner) // another one's chat: refused, it says nothing about this one
		}
	}
	return nil
}

func (r *room) edit(m said, text string) error {
	id := r.command("edit")
	return r.author.answered(r.author.core, order{chat: m.chat, ref: string(id), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		return chats.Edit(ctx, domain.Edit{Chat: m.chat, Actor: m.by, MessageID: m.message, Content: text + " (edited)", Command: id})
	}})
}

func (r *room) react(m said, by domain.UserID) error {
	emoji := []string{"👍", "🍅", "🎉", "👀"}[r.author.dice.IntN(4)]
	id := domain.CommandID(fmt.Sprintf("%s:from:%s", r.command("react"), r.id)) // the chat may be another one
	return r.author.answered(r.author.core, order{chat: m.chat, ref: string(id), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
		return chats.React(ctx, domain.React{Chat: m.chat, Actor: by, MessageID: m.message, Emoji: emoji, Command: id})
	}})
}

// read marks a message as read, unless the author still waits for a mark. Every second mark is not awaited: it has no command id, and its events
// belong to no answer.
func (r *room) read(m said) {
	a := r.author
	select {
	case a.marking <- struct{}{}:
	default:
		return
	}
	id, awaited := r.command("read"), a.dice.IntN(2) == 0
	a.done.Go(func() {
		defer func() { <-a.marking }()
		_ = a.answered(a.core, order{chat: m.chat, ref: string(id), give: func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			cmd, asked := domain.MarkRead{Chat: m.chat, Actor: owner, MessageID: m.message, AwaitRecorded: awaited}, time.Now()
			if awaited {
				cmd.Command = id
			}
			marked, err := chats.MarkRead(ctx, cmd)
			if err == nil {
				a.marked(MarkAnswer{Chat: m.chat, User: owner, Message: m.message, Recorded: marked.Recorded, Asked: asked, At: time.Now()})
			}
			if !awaited {
				return app.Done{}, err
			}
			return marked.Done, err
		}})
	})
}
