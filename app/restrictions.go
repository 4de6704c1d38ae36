package app

import (
	"context"
	"slices"
	"strconv"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Restrict bans or mutes a user of a group, or lifts that. A ban of a member also removes the member, in the same step. The user need not be a member: the restriction
// counts once the user joins. A restriction that is set already changes nothing. A restriction ends by itself at its time: no event says so.
func (c *Chats) Restrict(ctx context.Context, cmd domain.Restrict) (Done, error) {
	reason, err := domain.NewReason(cmd.Reason)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor, cmd.User), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	change := domain.RestrictionChange{Kind: cmd.Kind, Until: cmd.Until, Reason: reason, Lift: cmd.Lift}
	until := ""
	if !cmd.Until.IsZero() {
		until = strconv.FormatInt(cmd.Until.UnixMilli(), 10)
	}
	return c.about(ctx, "restrict", cmd.Chat, cmd.Actor, cmd.User, domain.NoRole, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Restrict(by, target, change, c.now())
		},
		func(restrict *command) {
			restrict.limits = c.limitsOf(cmd.Actor, cmd.Chat, LimitRestrict)
			restrict.args = arguments{string(cmd.User), cmd.Kind.String() + flagText(cmd.Lift), until, string(reason)}
		})
}

// flagText is the text of a flag for a fingerprint.
func flagText(set bool) string {
	if set {
		return "+"
	}
	return ""
}

// Restricted is a restriction that is in force.
type Restricted struct {
	User   domain.UserID
	Kind   domain.RestrictionKind
	Reason domain.Reason
	domain.Restriction
}

// maxRestrictionLinks bounds the events of restrictions that are read for one page.
const maxRestrictionLinks = 256

// Restrictions returns a page of the bans and mutes of a chat that are in force, the latest first. It takes two round trips. It may have fewer than asked for, or none, before
// the last page: others have ended or were lifted. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Restrictions(ctx context.Context, chat domain.ChatID, page domain.Page) (List[Restricted], error) {
	page, err := checkPage(page)
	from, wrong := seqCursor(page.Cursor)
	if err := firstError(checkChat(chat), err, wrong); err != nil {
		return List[Restricted]{}, err
	}
	loaded, err := q.log.Load(ctx, chat, ports.LoadRequest{Entity: domain.RestrictionsEntity(), Until: q.until, From: from, Last: maxRestrictionLinks})
	if err == nil {
		err = entity.Found(chat, loaded.Head)
	}
	if err != nil {
		return List[Restricted]{}, err
	}
	history := loaded.Entities[0]
	var set []ports.Record
	list := List[Restricted]{Next: seqText(history.Older)}
	for _, r := range slices.Backward(history.Events) {
		if e, ok := r.Event.(domain.MemberRestriction); ok && !e.Lifted {
			if len(set) == page.Limit {
				list.Next = seqText(r.Seq)
				break
			}
			set = append(set, r)
		}
	}
	list.Items, err = q.inForce(ctx, chat, set)
	return list, err
}

// inForce returns the restrictions among some records that are in force and were not set again later.
func (q *Queries) inForce(ctx context.Context, chat domain.ChatID, set []ports.Record) ([]Restricted, error) {
	if len(set) == 0 {
		return nil, nil
	}
	var entities []entity.Versioned
	members := make(map[domain.UserID]int)
	for _, r := range set {
		e, _ := r.Event.(domain.MemberRestriction)
		if _, known := members[e.User]; !known {
			members[e.User] = len(entities)
			entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(e.User)})
		}
	}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return nil, err
	}
	var found []Restricted
	for _, r := range set {
		e, _ := r.Event.(domain.MemberRestriction)
		m, _ := entities[members[e.User]].State.(*domain.Member)
		if present := m.Restriction(e.Kind); present.Seq == r.Seq && present.InForce(q.now()) {
			found = append(found, Restricted{User: e.User, Kind: e.Kind, Reason: e.Reason, Restriction: present})
		}
	}
	return found, nil
}

// seqText is the cursor of a list that is ordered by seqs, "" for 0.
func seqText(seq domain.Seq) string {
	if seq == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(seq), 10)
}

// seqCursor is the inverse of seqText.
func seqCursor(cursor string) (domain.Seq, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil || n == 0 {
		return 0, badCursor(cursor)
	}
	return domain.Seq(n), nil
}
