package app

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"chatcore/domain"
	"chatcore/ports"
)

// Erasures erases all messages of a user.
type Erasures struct{ users *Users }

// NewErasures returns the erasures of users that depart first.
func NewErasures(users *Users) *Erasures { return &Erasures{users} }

// EraseUser is the command that erases a user.
type EraseUser struct {
	User   domain.UserID
	Actor  domain.UserID // user or service that asked for it
	Reason string        // may be empty; it stays in the log of each message
}

// UserErasure is the progress of an erasure of a user.
type UserErasure struct {
	Chats    int // of the log that were examined
	Left     int // chats that the user has left by this call
	Remains  int // chats that the user is still in, because nobody can succeed the last owner
	Found    int // messages of the user
	Erased   int // of these by this call; the others were erased before
	Held     int // that stay, because a legal hold protects them
	Sessions int // that were closed
	// Attachments are those of the message that was erased last. The files lie elsewhere: the caller deletes them.
	Attachments []domain.Attachment
}

// chatsTogether is the number of chats that one step examines.
const chatsTogether = 64

// EraseUser closes the sessions of a user, ends the memberships as [Users.Depart] does, and erases every message that the user has sent, in chats that the user
// has left too. It is for trusted callers: no membership is checked. It examines all chats of the log, in steps of 64, and finds the messages by the read mark
// that each send moves, and among all replies in threads of the chats that the user is or was a member of. The events of memberships, read marks and reactions
// stay, with the id of the user; so do quotes and mentions in the text of others, which nobody can find, and custom events.
//
// A chat whose last owner the user is, and where no successor is found, keeps the user: [Users.Depart] takes the name of one. Its messages are erased, and the
// error is [domain.ErrLastOwner] once all others are.
//
// If the user or the log is under a legal hold it gives a [*domain.LegalHoldError] and changes nothing. Messages in chats under a hold stay, and the error
// is that as well, once all others are erased.
//
// report, unless nil, is called after each step and each erased message. If it returns an error, the erasure ends with it. An erasure that has ended early is
// given again: messages that are erased already are skipped. Messages that the user sends meanwhile may be missed.
func (e *Erasures) EraseUser(ctx context.Context, cmd EraseUser, report func(UserErasure) error) (done UserErasure, err error) {
	if err := checkUsers([]domain.UserID{cmd.User, cmd.Actor}); err != nil {
		return done, err
	}
	if err := e.users.chats.checkHolds(ctx, "", domain.HoldSubject{}, domain.HoldSubject{User: cmd.User}); err != nil {
		return done, err
	}
	if report == nil {
		report = func(UserErasure) error { return nil }
	}
	if e.users.sessions != nil {
		if done.Sessions, err = e.users.sessions.CloseAll(ctx, cmd.User); err != nil {
			return done, err
		}
	}
	var hold, remains error
	for chats, err := range e.users.queries.chatsWith(ctx, cmd.User, &done.Chats) {
		if err != nil {
			return done, err
		}
		for _, chat := range chats {
			switch _, left, err := e.users.departFrom(ctx, chat, DepartUser{User: cmd.User}); {
			case err != nil && !ofChat(err):
				return done, err
			case err != nil:
				remains = err
				done.Remains++
			case left:
				done.Left++
			}
			switch err := e.eraseIn(ctx, chat, cmd, &done, report); {
			case errors.Is(err, domain.ErrLegalHold):
				hold = err
			case err != nil:
				return done, err
			}
		}
		done.Attachments = nil
		if err := report(done); err != nil {
			return done, err
		}
	}
	if err := e.users.queries.ForgetContacts(ctx, cmd.User); err != nil {
		return done, err
	}
	return done, cmp.Or(hold, remains)
}

// eraseIn erases the messages of the user in a chat. It returns the last error of a legal hold once all other messages are erased.
func (e *Erasures) eraseIn(ctx context.Context, chat domain.ChatID, cmd EraseUser, done *UserErasure, report func(UserErasure) error) (hold error) {
	for sent, err := range e.users.queries.sentBy(ctx, chat, cmd.User) {
		if err != nil {
			return err
		}
		if done.Found++; sent.Erased {
			continue
		}
		erased, err := e.users.chats.Erase(ctx, domain.Erase{Chat: chat, Actor: cmd.Actor, MessageID: sent.Message, Reason: cmd.Reason, Trusted: true})
		if errors.Is(err, domain.ErrLegalHold) {
			hold = err
			done.Held++
			continue
		}
		if err != nil {
			return err
		}
		if erased.Changed {
			done.Erased++
		}
		done.Attachments = erased.Attachments
		if err := report(*done); err != nil {
			return err
		}
	}
	return hold
}

// chatsWith yields those chats in which a user is or was a member, or has a read mark, in steps, and counts the chats that were examined.
func (q *Queries) chatsWith(ctx context.Context, user domain.UserID, examined *int) iter.Seq2[[]domain.ChatID, error] {
	return func(yield func([]domain.ChatID, error) bool) {
		step := func(chats []domain.ChatID) bool {
			loads := make([]ports.ChatLoad, len(chats))
			for i, chat := range chats {
				loads[i] = ports.ChatLoad{Chat: chat, Wants: []ports.LoadRequest{
					{Entity: domain.ReadEntity(user), Last: 1}, {Entity: domain.MemberEntity(user), Latest: true},
				}}
			}
			loaded, err := q.log.LoadChats(ctx, loads...)
			if err != nil {
				return yield(nil, err)
			}
			var with []domain.ChatID
			for i := range loaded {
				if of := loaded[i].Entities; of[0].Version > 0 || of[1].Version > 0 {
					with = append(with, chats[i])
				}
			}
			*examined += len(chats)
			return yield(with, nil)
		}
		var chats []domain.ChatID
		for chat, err := range q.log.Chats(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			if chats = append(chats, chat); len(chats) == chatsTogether {
				if !step(chats) {
					return
				}
				chats = nil
			}
		}
		if len(chats) > 0 {
			step(chats)
		}
	}
}

// sentBy yields the messages that a user has sent in a chat, newest first: those of the main timeline, which moved the user's read mark, and then those that
// are in threads alone, among the replies of all users.
func (q *Queries) sentBy(ctx context.Context, chat domain.ChatID, user domain.UserID) iter.Seq2[domain.MessageNew, error] {
	return func(yield func(domain.MessageNew, error) bool) {
		for sent, err := range sendsMoving(ctx, q.log, chat, domain.ReadEntity(user)) {
			if !yield(sent, err) {
				return
			}
		}
		for sent, err := range sendsMoving(ctx, q.log, chat, domain.ThreadsEntity()) {
			if (err != nil || sent.Sender == user && !sent.InTimeline()) && !yield(sent, err) {
				return
			}
		}
	}
}
