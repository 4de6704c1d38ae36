package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// importActor creates and owns the chats of an import.
const importActor = domain.UserID("importer")

// importPatience is how long an import goes on while none of its commands succeeds.
const importPatience = time.Minute

// chatImport turns the lines of one chat into commands. Their ids are derived from the contents of the lines, so each has its effect once in all
// imports.
type chatImport struct {
	run     *importRun
	chat    domain.ChatID
	created bool
	lines   []*entry // to be recorded; guarded by the queue, as is busy
	busy    bool     // a worker has the chat, or will
	refused error    // why no line of the chat can be recorded, nil if they can

	// earlier reports whether the chat was there before the run. Then lines of the file may be in the log already, behind lines that are not.
	earlier bool
	// changed holds the users whose membership this run has changed, until a later line about them shows that the change came late. See restore.
	changed map[domain.UserID]membershipChange
}

// membershipChange is a join or a leave that this run has appended.
type membershipChange struct {
	seq    domain.Seq
	joined bool
	id     string // of the line that it came from
}

// line records a line. It returns an error only if the import cannot go on.
func (c *chatImport) line(ctx context.Context, e *entry) error {
	chats := c.run.core.Chats.Backdated(e.At).Correlated(c.run.id)
	err := c.refused
	if !c.created && err == nil {
		c.created = true
		err = c.create(ctx, chats)
		if isRefusal(err) {
			c.refused = err
		}
	}
	if err == nil {
		err = e.refused
	}
	if err == nil {
		err = c.record(ctx, chats, e)
	}
	if isRefusal(err) {
		c.run.rejected.Add(1)
		c.run.report(e.line, "rejected", err)
		return nil
	}
	return err
}

// isRefusal reports whether an error is the domain's or the log's verdict about one command.
func isRefusal(err error) bool {
	var refusal *domain.Refusal
	return errors.Is(err, domain.ErrInvalid) || errors.As(err, &refusal) || errors.Is(err, ports.ErrTooLarge)
}

func (c *chatImport) create(ctx context.Context, chats *app.Chats) error {
	done, err := c.give(ctx, func() (app.Done, error) {
		return chats.Create(ctx, domain.Create{Chat: c.chat, Actor: importActor, Title: string(c.chat), Command: "import:create"})
	})
	c.earlier = done.Duplicate
	if errors.Is(err, domain.ErrChatExists) {
		return fmt.Errorf("%w; it was created by other means than an import", err)
	}
	return err
}

func (c *chatImport) record(ctx context.Context, chats *app.Chats, e *entry) error {
	user := domain.UserID(e.User)
	switch e.Kind {
	case "message", "action":
		return c.send(ctx, chats, e, user)
	case "join":
		return c.member(ctx, chats, e.id, user, true)
	case "leave":
		return c.member(ctx, chats, e.id, user, false)
	}
	if err := c.member(ctx, chats, e.id, user, false); err != nil { // rename
		return err
	}
	return c.member(ctx, chats, e.id, domain.UserID(e.Text), true)
}

// send sends a message. Its sender joins first if they are not a member; a message that was imported before needs no membership.
func (c *chatImport) send(ctx context.Context, chats *app.Chats, e *entry, user domain.UserID) error {
	send := func() (app.Done, error) {
		return c.give(ctx, func() (app.Done, error) {
			sent, err := chats.Send(ctx, domain.Send{Chat: c.chat, Actor: user, MessageID: domain.MessageID("import:message:" + e.id), Content: e.Text})
			return app.Done{Seq: sent.Seq, Changed: true, Duplicate: sent.Duplicate}, err
		})
	}
	done, err := send()
	if errors.Is(err, domain.ErrNotMember) {
		if err = c.member(ctx, chats, e.id, user, true); err == nil {
			done, err = send()
		}
	}
	switch {
	case err != nil:
		return err
	case done.Duplicate:
		c.run.duplicates.Add(1)
		return c.restore(ctx, chats, user, done.Seq)
	}
	c.run.messages.Add(1)
	return nil
}

// member has a user join or leave because of a line.
func (c *chatImport) member(ctx context.Context, chats *app.Chats, id string, user domain.UserID, joins bool) error {
	if user == importActor {
		return nil
	}
	what := "import:leave:"
	if joins {
		what = "import:join:"
	}
	done, err := c.setMember(ctx, chats, what+id, user, joins)
	switch {
	case err != nil || !done.Changed:
		return err
	case done.Duplicate:
		return c.restore(ctx, chats, user, done.Seq)
	case !c.earlier:
		return nil
	}
	if _, twice := c.changed[user]; twice { // joined and left, or left and joined
		delete(c.changed, user)
		return nil
	}
	if c.changed == nil {
		c.changed = make(map[domain.UserID]membershipChange)
	}
	c.changed[user] = membershipChange{done.Seq, joins, id}
	return nil
}

func (c *chatImport) setMember(ctx context.Context, chats *app.Chats, id string, user domain.UserID, member bool) (app.Done, error) {
	return c.give(ctx, func() (app.Done, error) {
		if member {
			return chats.Add(ctx, domain.Add{Chat: c.chat, Actor: importActor, User: user, Command: domain.CommandID(id)})
		}
		return chats.Remove(ctx, domain.Remove{Chat: c.chat, Actor: importActor, User: user, Command: domain.CommandID(id)})
	})
}

// restore reverts a change of a user's membership that was appended after the event of a later line about the user: that line, at seq, was imported
// before, so the log's later events about the user are newer than the change.
func (c *chatImport) restore(ctx context.Context, chats *app.Chats, user domain.UserID, seq domain.Seq) error {
	change, some := c.changed[user]
	if !some || change.seq < seq {
		return nil
	}
	id := "import:rejoin:" + change.id
	if change.joined {
		id = "import:unjoin:" + change.id
	}
	_, err := c.setMember(ctx, chats, id, user, !change.joined)
	if err == nil {
		delete(c.changed, user)
	}
	return err
}

// importPauses are the pauses between two attempts at a command.
func importPauses() backoff.Policy {
	return backoff.Policy{First: 5 * time.Millisecond, Max: time.Second, Jitter: true}
}

// give gives a command until it is done or refused, and counts its event. A command that failed for a reason that passes is given again, which
// its id makes safe.
func (c *chatImport) give(ctx context.Context, command func() (app.Done, error)) (app.Done, error) {
	for failed, unknown := 1, false; ; failed++ {
		done, err := command()
		if err == nil && done.Duplicate && done.Changed && unknown {
			done.Duplicate, err = c.byOthers(ctx, done.Seq)
		}
		switch {
		case err == nil:
			c.run.succeeded.Store(time.Now().UnixNano())
			if done.Changed && !done.Duplicate {
				c.run.events.Add(1)
			}
			return done, nil
		case ctx.Err() != nil:
			return done, ctx.Err()
		case !passes(err):
			return done, err
		case time.Since(time.Unix(0, c.run.succeeded.Load())) > c.run.patience:
			return done, fmt.Errorf("no command has succeeded for %v, import the file again to go on: %w", c.run.patience, err)
		}
		c.run.retries.Add(1)
		unknown = unknown || errors.Is(err, ports.ErrOutcomeUnknown) || errors.Is(err, ports.ErrUnconfirmed)
		_ = importPauses().Wait(ctx, failed) // the loop checks ctx
	}
}

// passes reports whether a command may succeed when it is given again.
func passes(err error) bool {
	for _, transient := range [...]error{
		ports.ErrOverloaded, ports.ErrUnavailable, ports.ErrOutcomeUnknown, ports.ErrUnconfirmed, ports.ErrConflict,
	} {
		if errors.Is(err, transient) {
			return true
		}
	}
	return false
}

// byOthers reports whether the event at seq was recorded by another run.
func (c *chatImport) byOthers(ctx context.Context, seq domain.Seq) (bool, error) {
	records, err := c.run.core.Queries.Events(ctx, c.chat, domain.Span{Before: seq + 1, Limit: 1})
	if err != nil {
		return true, err
	}
	return len(records) == 0 || records[0].Meta.CorrelationID != c.run.id, nil
}
