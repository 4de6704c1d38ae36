package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// ViewsCheck says how views are checked against the log.
type ViewsCheck struct {
	// Handled returns up to which seq of a chat the built-in subscriber has come.
	Handled func(ctx context.Context, chat domain.ChatID) (domain.Seq, error)
	Repair  bool
	// Skip reports whether a chat is not checked, because its events are not all known. nil: none.
	Skip func(chat domain.ChatID) bool
	// Report takes each contradiction. An error of it ends the check.
	Report func(ports.Contradiction) error
}

// CheckViews compares the views of a chat with its log: for every present or former member, as of the checkpoint of the view's subscriber. A chat
// whose log is corrupt, and a custom view that cannot be checked, are skipped.
func (m *Models) CheckViews(ctx context.Context, chat domain.ChatID, c ViewsCheck) error {
	if c.Skip != nil && c.Skip(chat) {
		return nil
	}
	var users []domain.UserID
	for user, err := range m.log.Members(ctx, chat) {
		if err != nil {
			return uncorrupted(err)
		}
		users = append(users, user)
	}
	v := &viewsCheck{ViewsCheck: c, models: m, chat: chat, kept: len(users) <= MaxKeptUnread}
	for some := range slices.Chunk(users, together) {
		if err := uncorrupted(v.check(ctx, some)); err != nil {
			return err
		}
	}
	return uncorrupted(v.preview(ctx))
}

// uncorrupted drops an error that is a contradiction of the log, and reported as such.
func uncorrupted(err error) error {
	if errors.Is(err, ports.ErrCorrupt) {
		return nil
	}
	return err
}

// viewsCheck checks the views of one chat.
type viewsCheck struct {
	ViewsCheck
	models *Models
	chat   domain.ChatID
	kept   bool // the chat never had more members than counts are kept for
}

// checkedView is one view and its expected entries.
type checkedView struct {
	ports.UserViewRepairer
	kind   string
	unread bool
	// agrees reports whether an entry agrees with the log as of a seq, and returns the expected entry.
	agrees func(ctx context.Context, user domain.UserID, at domain.Seq, e ports.UserViewEntry) (bool, ports.UserEntry, error)
}

func (v *viewsCheck) check(ctx context.Context, users []domain.UserID) error {
	views := v.models.views
	if chats, ok := views.Chats.(ports.UserViewRepairer); ok {
		if err := v.compare(ctx, checkedView{chats, "user_chats", false, v.chats}, users); err != nil {
			return err
		}
	}
	if blocks, ok := views.Blocks.(ports.UserViewRepairer); ok {
		if err := v.compare(ctx, checkedView{blocks, "user_blocks", false, v.blocks}, users); err != nil {
			return err
		}
	}
	if err := v.settings(ctx, users); err != nil {
		return err
	}
	if unread, ok := views.Unread.(ports.UserViewRepairer); ok {
		return v.compare(ctx, checkedView{unread, "unread", true, v.unread}, users)
	}
	return nil
}

// compare compares the entries of some users. An entry that does not agree is compared once more by itself, because views change meanwhile.
func (v *viewsCheck) compare(ctx context.Context, view checkedView, users []domain.UserID) error {
	entries, handled, err := v.look(ctx, view, users...)
	if err != nil {
		return err
	}
	for i, user := range users {
		agrees, _, err := v.entry(ctx, view, user, handled, entries[i])
		if err != nil {
			return err
		}
		if agrees {
			continue
		}
		again, handled, err := v.look(ctx, view, user)
		if err != nil {
			return err
		}
		agrees, want, err := v.entry(ctx, view, user, handled, again[0])
		if err != nil {
			return err
		}
		if agrees {
			continue
		}
		if err := v.found(ctx, view, again[0], want); err != nil {
			return err
		}
	}
	return nil
}

// look gives entries and the seq up to which they have been kept at least.
func (v *viewsCheck) look(ctx context.Context, view checkedView, users ...domain.UserID) ([]ports.UserViewEntry, domain.Seq, error) {
	handled, err := v.Handled(ctx, v.chat)
	if err != nil {
		return nil, 0, err
	}
	entries, err := view.Look(ctx, v.models.views.Log, v.chat, users...)
	return entries, handled, err
}

// entry compares one entry, as of its version or of the checkpoint, whichever is later.
func (v *viewsCheck) entry(ctx context.Context, view checkedView, user domain.UserID, handled domain.Seq, e ports.UserViewEntry) (bool, ports.UserEntry, error) {
	head, err := v.models.entities.Load(ctx, v.chat, nil) // after the entry was read
	if err != nil {
		return false, ports.UserEntry{}, err
	}
	at := min(max(handled, e.Version), head)
	if at == 0 && view.unread {
		return true, ports.UserEntry{}, nil // other programs may count under these keys where no subscriber does
	}
	if at == 0 {
		return !e.Present && !e.Broken, ports.UserEntry{User: user, Gone: true}, nil
	}
	agrees, want, err := view.agrees(ctx, user, at, e)
	want.User, want.Version = user, at
	return agrees && !e.Broken && e.Version <= head, want, err
}

// member gives a user's membership as of a seq, and the seq of the last event that changed it.
func (v *viewsCheck) member(ctx context.Context, user domain.UserID, at domain.Seq) (domain.Member, domain.Seq, error) {
	entities := []entity.Versioned{{Entity: domain.MemberEntity(user)}}
	if _, err := v.models.entities.At(at).Load(ctx, v.chat, entities); err != nil {
		return domain.Member{}, 0, err
	}
	m, _ := entities[0].State.(*domain.Member)
	return *m, entities[0].Version, nil
}

func (v *viewsCheck) chats(ctx context.Context, user domain.UserID, at domain.Seq, e ports.UserViewEntry) (bool, ports.UserEntry, error) {
	m, version, err := v.member(ctx, user, at)
	if err != nil || !m.Current() { // that the user has left is kept too: an earlier event that comes late must not undo it
		return !e.Present && e.Version >= version, ports.UserEntry{Gone: true}, err
	}
	return e.Present && e.Number == uint64(m.Since), ports.UserEntry{Number: uint64(m.Since)}, nil
}

func (v *viewsCheck) blocks(ctx context.Context, user domain.UserID, at domain.Seq, e ports.UserViewEntry) (bool, ports.UserEntry, error) {
	chat, _, err := v.models.At(at).directChat(ctx, v.chat)
	want := blockEntry(chat, user)
	return e.Present == !want.Gone && e.Number == want.Number, want, err
}

func (v *viewsCheck) unread(ctx context.Context, user domain.UserID, at domain.Seq, e ports.UserViewEntry) (bool, ports.UserEntry, error) {
	m, _, err := v.member(ctx, user, at)
	if err != nil || !m.Current() {
		return !e.Present, ports.UserEntry{Gone: true}, err
	}
	if !v.kept && !e.Present { // the chat may have been too large
		return true, ports.UserEntry{Gone: true}, nil
	}
	// The present count takes one step, and is the same unless there is news.
	if s, err := v.models.standing(ctx, v.chat, user); err == nil && e.Present && e.Number == uint64(s.count) {
		return true, ports.UserEntry{Number: e.Number}, nil
	}
	n, err := v.models.At(at).Unread(ctx, v.chat, user)
	return e.Present && e.Number == uint64(n), ports.UserEntry{Number: uint64(n)}, err
}

func (v *viewsCheck) found(ctx context.Context, view checkedView, was ports.UserViewEntry, want ports.UserEntry) error {
	say := func(there bool, number uint64) string {
		if !there {
			return "nothing"
		}
		return fmt.Sprint(number)
	}
	c := ports.Contradiction{
		Kind: view.kind, Chat: v.chat, Seq: want.Version,
		What:   fmt.Sprintf("of user %q %s is kept, by the log it is %s", want.User, say(was.Present, was.Number), say(!want.Gone, want.Number)),
		Repair: "the log's value replaces it",
	}
	if v.Repair {
		done, err := view.Replace(ctx, v.models.views.Log, v.chat, was, want)
		if err != nil {
			return err
		}
		c.Repaired = done
	}
	return v.Report(c)
}

// CheckUsers looks for users whose view of chats has lost some, and for chats in it that a user was never in. It comes after [Models.CheckViews] of
// every chat, which corrects single entries.
func (m *Models) CheckUsers(ctx context.Context, c ViewsCheck) error {
	view, ok := m.views.Chats.(ports.UserViewRepairer)
	if !ok {
		return nil
	}
	for user, err := range view.Users(ctx) {
		if err != nil {
			return err
		}
		chats, err := view.Of(ctx, m.views.Log, user)
		if errors.Is(err, ports.ErrCorrupt) {
			chats, err = nil, m.miscounted(ctx, view, user, err, c)
		}
		if err != nil {
			return err
		}
		for chat := range chats {
			if err := m.neverIn(ctx, view, user, chat, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// miscounted reports a user whose chats are not as many as the view counts.
func (m *Models) miscounted(ctx context.Context, view ports.UserViewRepairer, user domain.UserID, cause error, c ViewsCheck) error {
	found := ports.Contradiction{Kind: "user_chats_count", What: fmt.Sprintf("of user %q: %v", user, cause), Repair: "the user's chats are counted anew, once each was checked"}
	if c.Repair {
		if err := view.Recount(ctx, m.views.Log, user); err != nil {
			return err
		}
		_, err := view.Of(ctx, m.views.Log, user)
		found.Repaired = err == nil
	}
	return c.Report(found)
}

// neverIn reports a chat that a user was never in.
func (m *Models) neverIn(ctx context.Context, view ports.UserViewRepairer, user domain.UserID, chat domain.ChatID, c ViewsCheck) error {
	if c.Skip != nil && c.Skip(chat) {
		return nil
	}
	entities := []entity.Versioned{{Entity: domain.MemberEntity(user)}}
	head, err := m.entities.Load(ctx, chat, entities)
	if err != nil || entities[0].Version > 0 {
		return uncorrupted(err)
	}
	entries, err := view.Look(ctx, m.views.Log, chat, user)
	if err != nil || !entries[0].Present {
		return err
	}
	found := ports.Contradiction{Kind: "user_chats", Chat: chat, What: fmt.Sprintf("user %q was never a member of the chat, whose last seq is %d", user, head), Repair: "it is removed from the user's chats"}
	if c.Repair {
		if found.Repaired, err = view.Replace(ctx, m.views.Log, chat, entries[0], ports.UserEntry{User: user, Gone: true}); err != nil {
			return err
		}
	}
	return c.Report(found)
}
