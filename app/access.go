package app

import (
	"context"
	"errors"
	"fmt"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// FormerMembers is the setting of what former members of a chat may read of it.
type FormerMembers uint8

// The settings for former members.
const (
	// FormerMembersUntilRemoval lets a former member read the chat as of the end of the membership, by a removal or by leaving: later events do not
	// count. A message that was edited or deleted after that is shown as it was.
	FormerMembersUntilRemoval FormerMembers = iota
	// FormerMembersNothing treats a former member as a user that never was a member.
	FormerMembersNothing
)

func (f FormerMembers) String() string {
	switch f {
	case FormerMembersUntilRemoval:
		return "until-removal"
	case FormerMembersNothing:
		return "nothing"
	}
	return fmt.Sprintf("FormerMembers(%d)", uint8(f))
}

// Check returns a [*domain.InvalidError] if the setting is none of the constants.
func (f FormerMembers) Check() error {
	if f > FormerMembersNothing {
		return &domain.InvalidError{Field: "Access.FormerMembers", Problem: "is " + f.String(), Allowed: "FormerMembersUntilRemoval, FormerMembersNothing"}
	}
	return nil
}

// Access decides which part of a chat a user may read.
//
// A current member reads everything, as of now. A former member reads the chat as of the removal, or nothing ([FormerMembers]). Any other user gets
// [domain.ErrChatNotFound], with one text for a chat that exists and for one that does not.
//
// Each check reads the membership from the log, in one round trip. It never answers from the process's cache alone, because another process may have
// removed the member since; the cached state only spares the log the transfer of events. A removal therefore counts for every check that begins after it.
// A query that overlaps with the removal may be answered as before it.
type Access struct {
	queries *Queries
	rules   AccessRules
}

// AccessRules say what users may read.
type AccessRules struct {
	FormerMembers FormerMembers // what a former member of a chat may read of it
	HideReads     bool          // nobody may read who has read a message
}

// NewAccess returns the access to what queries return.
func NewAccess(queries *Queries, rules AccessRules) *Access {
	return &Access{queries: queries, rules: rules}
}

// Grant is the part of a chat that a user may read.
type Grant struct {
	Member domain.Member // as of now; of a former member only User is set
	Until  domain.Seq    // the last seq that a former member may read: that of the removal; 0 for a current member, who may read all
	Head   domain.Seq    // the chat's last seq when the membership was read
}

// Check returns what a user may read of a chat, in one round trip. It returns [domain.ErrChatNotFound] if that is nothing or there is no such chat,
// [ports.ErrNewerVersion] if an event changed the membership that only a newer program can read, and a [*domain.InvalidError] for malformed ids.
func (a *Access) Check(ctx context.Context, chat domain.ChatID, user domain.UserID) (Grant, error) {
	if err := checkChat(chat, user); err != nil {
		return Grant{}, err
	}
	membership := []entity.Versioned{{Entity: domain.MemberEntity(user)}}
	head, unread, err := a.queries.entities.FillFound(ctx, chat, membership)
	if errors.Is(err, domain.ErrChatNotFound) {
		return Grant{}, notReadable(chat, user)
	}
	if err != nil {
		return Grant{}, err
	}
	return a.grant(chat, user, entity.ChatEntities{Entities: membership, Head: head, Unread: unread})
}

// Checked is the outcome of CheckAll for one chat.
type Checked struct {
	Grant Grant
	Err   error // as from Check
}

// CheckAll is Check of many chats, in one round trip for each 64 of them. It returns an outcome for each chat, in the order of the chats. A chat that
// cannot be read takes further round trips, about twice the logarithm of the number of chats, and its outcome is that error.
func (a *Access) CheckAll(ctx context.Context, user domain.UserID, chats ...domain.ChatID) ([]Checked, error) {
	for _, chat := range chats {
		if err := checkChat(chat, user); err != nil {
			return nil, err
		}
	}
	if len(chats) == 0 {
		return nil, nil
	}
	checked := make([]Checked, len(chats))
	if err := a.checkAll(ctx, user, chats, checked); err != nil {
		return nil, err
	}
	return checked, nil
}

// checkAll sets the outcome for each chat. The log answers for many chats or for none: if one of them cannot be read, checkAll checks each half.
func (a *Access) checkAll(ctx context.Context, user domain.UserID, chats []domain.ChatID, checked []Checked) error {
	loads := make([]entity.ChatEntities, len(chats))
	for i, chat := range chats {
		loads[i] = entity.ChatEntities{Chat: chat, Entities: membershipOf(user)(chat)}
		a.queries.entities.Cached(chat, loads[i].Entities)
	}
	err := a.queries.entities.FillChats(ctx, a.queries.log, loads)
	switch unreadable := errors.Is(err, ports.ErrCorrupt) || errors.Is(err, ports.ErrNewerVersion); {
	case unreadable && len(chats) == 1:
		checked[0].Err = err
		return nil
	case unreadable:
		half := len(chats) / 2
		if err := a.checkAll(ctx, user, chats[:half], checked[:half]); err != nil {
			return err
		}
		return a.checkAll(ctx, user, chats[half:], checked[half:])
	case err != nil:
		return err
	}
	for i, chat := range chats {
		if checked[i].Err = entity.Found(chat, loads[i].Head); checked[i].Err != nil {
			checked[i].Err = notReadable(chat, user)
			continue
		}
		checked[i].Grant, checked[i].Err = a.grant(chat, user, loads[i])
	}
	return nil
}

// grant returns what a loaded membership grants.
func (a *Access) grant(chat domain.ChatID, user domain.UserID, loaded entity.ChatEntities) (Grant, error) {
	if u := loaded.Unread[0]; u != nil {
		return Grant{}, &u.NewerVersionError
	}
	membership := loaded.Entities[0]
	m, _ := membership.State.(*domain.Member)
	switch {
	case m.Current():
		return Grant{Member: *m, Head: loaded.Head}, nil
	case membership.Version == 0 || a.rules.FormerMembers == FormerMembersNothing:
		return Grant{}, notReadable(chat, user)
	}
	// Invariant: the last event that moved the membership of a former member is the removal.
	return Grant{Member: domain.Member{User: user}, Until: membership.Version, Head: loaded.Head}, nil
}

// Queries returns queries of what a user may read of one chat, in one round trip. They are for one call or a few: they know nothing of a later removal.
// The errors are those of [Access.Check]. For a former member the queries are as of the removal ([Queries.At]), and cost what those cost.
func (a *Access) Queries(ctx context.Context, chat domain.ChatID, user domain.UserID) (*Queries, error) {
	return a.queriesAt(ctx, chat, user, 0)
}

// queriesAt returns the queries of a user as of a seq, or as of the removal if that was before; 0 means now.
func (a *Access) queriesAt(ctx context.Context, chat domain.ChatID, user domain.UserID, at domain.Seq) (*Queries, error) {
	grant, err := a.Check(ctx, chat, user)
	if err != nil {
		return nil, err
	}
	if grant.Until > 0 && (at == 0 || at > grant.Until) {
		at = grant.Until
	}
	return a.queries.At(at), nil
}

// rawQueriesAt is queriesAt for a user that reads raw events. It returns [domain.ErrForbidden] for a user that may read the chat and is neither admin
// nor owner now.
func (a *Access) rawQueriesAt(ctx context.Context, chat domain.ChatID, user domain.UserID, at domain.Seq) (*Queries, error) {
	grant, err := a.Check(ctx, chat, user)
	if err != nil {
		return nil, err
	}
	if role := grant.Member.Role; role < domain.RoleAdmin {
		return nil, &domain.Refusal{
			Reason: domain.ErrForbidden,
			Detail: fmt.Sprintf("to read the events of chat %q takes %s, the role of user %q is %s", chat, domain.RoleAdmin, user, role),
		}
	}
	return a.queries.At(at), nil
}

// notReadable is the error for a chat that a user may not read, or that does not exist: the text must not differ.
func notReadable(chat domain.ChatID, user domain.UserID) error {
	return &domain.Refusal{Reason: domain.ErrChatNotFound, Detail: fmt.Sprintf("there is no chat %q that user %q may read", chat, user)}
}
