package app

import (
	"context"
	"errors"
	"fmt"

	"chatcore/domain"
	"chatcore/ports"
)

// Users are commands about a user in all chats. They are for trusted callers: no membership is checked.
type Users struct {
	chats    *Chats
	queries  *Queries
	sessions *Sessions // nil: there are none
}

// NewUsers returns the commands, by those of chats and what queries find.
func NewUsers(chats *Chats, queries *Queries, sessions *Sessions) *Users {
	return &Users{chats: chats, queries: queries, sessions: sessions}
}

// DepartUser is the command that takes a user out of all chats.
type DepartUser struct {
	User domain.UserID
	// Successors become owners of groups whose last owner the user is. They must be members. Without one, the admin who joined first succeeds, or without
	// admins the member who joined first.
	Successors map[domain.ChatID]domain.UserID
}

// DepartedChat is what became of a chat that a user departed from.
type DepartedChat struct {
	Chat      domain.ChatID
	Successor domain.UserID // the new owner; "" if the chat needed none
	Closed    bool          // nobody else was a member: the chat is archived and has no owner
	Err       error         // the user is still a member; nil otherwise
}

// UserDeparture is the result of [Users.Depart].
type UserDeparture struct {
	Left      int // chats that the user has left by this call
	Succeeded int // of these the chats that have a new owner
	Closed    int // of these the chats without other members
	Failed    int // chats that the user is still in
	Sessions  int // that were closed
}

// successions is how often a successor is chosen, because the one before has left meanwhile.
const successions = 16

// Depart ends the memberships of a user in all chats, also in direct ones and those of a last owner, and then the user's sessions. Messages, restrictions and
// settings stay. The caller first makes the user unable to act and to be added. The gate is not asked, and no limit counts it.
//
// The chats come from the built-in subscribers' read model, a moment behind the log; it is read again until the user is in none of its chats. Depart takes two
// round trips for a chat, and three more or a few if a successor is needed. report, unless nil, is called after each chat that was left or that failed; if it returns
// an error, the departure ends with it. A departure that has ended early is given again: chats that were left already are skipped.
//
// A chat fails, and the others go on, if no successor is found among 4,096 present and former members ([domain.ErrLastOwner]: name one), if a named successor is
// no member, or if its log cannot be read. Depart returns [projection.ErrNoViews] where no process has ever run the built-in subscribers.
func (u *Users) Depart(ctx context.Context, cmd DepartUser, report func(DepartedChat) error) (done UserDeparture, err error) {
	if err := checkUsers([]domain.UserID{cmd.User}); err != nil {
		return done, err
	}
	failed := make(map[domain.ChatID]struct{})
	for more := true; more; {
		chats, err := u.queries.ChatsOf(ctx, cmd.User)
		if err != nil {
			return done, err
		}
		more = false
		for _, chat := range chats {
			if _, known := failed[chat]; known {
				continue
			}
			departed, changed, err := u.departFrom(ctx, chat, cmd)
			switch {
			case err != nil && !ofChat(err):
				return done, err
			case err != nil:
				departed.Err = err
				failed[chat] = struct{}{}
			case !changed:
				continue
			}
			more = true
			done.count(departed)
			if report == nil {
				continue
			}
			if err := report(departed); err != nil {
				return done, err
			}
		}
	}
	if u.sessions != nil {
		if done.Sessions, err = u.sessions.CloseAll(ctx, cmd.User); err != nil {
			return done, err
		}
	}
	return done, u.queries.ForgetContacts(ctx, cmd.User)
}

// ofChat reports whether an error is about one chat, and another chat may have none.
func ofChat(err error) bool {
	var refusal *domain.Refusal
	return errors.As(err, &refusal) || errors.Is(err, domain.ErrInvalid) || errors.Is(err, ports.ErrCorrupt) || errors.Is(err, ports.ErrNewerVersion)
}

func (d *UserDeparture) count(c DepartedChat) {
	switch {
	case c.Err != nil:
		d.Failed++
		return
	case c.Closed:
		d.Closed++
	case c.Successor != "":
		d.Succeeded++
	}
	d.Left++
}

// departFrom ends one membership, and reports whether there was one.
func (u *Users) departFrom(ctx context.Context, chat domain.ChatID, cmd DepartUser) (departed DepartedChat, changed bool, err error) {
	departed.Chat = chat
	var d departure
	for range successions {
		var events []domain.Durable
		events, err = u.chats.depart(ctx, chat, cmd.User, d)
		switch {
		case errors.Is(err, domain.ErrLastOwner):
			if d, err = u.succession(ctx, chat, cmd, d); err != nil {
				return departed, false, err
			}
			continue
		case err != nil || len(events) == 0:
			return departed, false, err
		}
		if d.Alone && len(events) == 1 && !removes(events[0]) { // archived: is the user still alone?
			d.archived = true
			if d, err = u.succession(ctx, chat, cmd, d); err != nil {
				return departed, false, err
			}
			continue
		}
		departed.Closed = d.Alone
		if len(events) > 1 {
			departed.Successor = d.successor
		}
		return departed, true, nil
	}
	return departed, false, &domain.Refusal{Reason: domain.ErrLastOwner, Detail: fmt.Sprintf("%d successors of user %q in chat %q have left meanwhile", successions, cmd.User, chat)}
}

func removes(e domain.Durable) bool {
	change, ok := e.(domain.ChatUpdate)
	return ok && change.Change == domain.MemberRemoved
}

// departure is a [domain.Departure] whose successor is not loaded.
type departure struct {
	domain.Departure
	successor domain.UserID
	archived  bool // for the departure
}

// succession says who succeeds a departing last owner.
func (u *Users) succession(ctx context.Context, chat domain.ChatID, cmd DepartUser, before departure) (departure, error) {
	d := departure{archived: before.archived}
	named, isNamed := cmd.Successors[chat]
	switch {
	case isNamed && before.successor == named:
		return d, domain.NotMember(chat, named)
	case isNamed:
		d.successor = named
	default:
		successor, err := u.queries.successor(ctx, chat, cmd.User)
		if err != nil {
			return d, err
		}
		d.successor = successor
	}
	d.Alone, d.Reopen = d.successor == "", d.archived && d.successor != ""
	return d, nil
}

// depart ends the membership of a user, and returns the events of that.
func (c *Chats) depart(ctx context.Context, chat domain.ChatID, user domain.UserID, d departure) (events []domain.Durable, err error) {
	depart := command{
		name: "depart", chat: chat, by: user, admits: true,
		wants: want(domain.ChatEntity(), domain.MemberEntity(user)),
		decide: func(s *state) ([]domain.Durable, error) {
			if d.successor != "" {
				d.Successor = s.member(d.successor)
			}
			events, err = s.theChat().Depart(s.member(user), d.Departure, c.now())
			return events, err
		},
	}
	if d.successor != "" && d.successor != user {
		depart.wants.add(domain.MemberEntity(d.successor))
	}
	_, err = c.run(ctx, depart)
	return events, err
}
