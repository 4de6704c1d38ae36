package projection

import (
	"context"
	"fmt"
	"strings"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// settings compares the favourites and the hidden chats of users with their settings.
func (v *viewsCheck) settings(ctx context.Context, users []domain.UserID) error {
	favourites, ok := v.models.views.Favourites.(ports.UserViewRepairer)
	hidden, both := v.models.views.Hidden.(ports.UserViewRepairer)
	if !ok || !both {
		return nil
	}
	users, err := v.withSettings(ctx, users, favourites, hidden)
	if err != nil {
		return err
	}
	if err := v.compare(ctx, checkedView{favourites, "user_favourites", false, v.setting(favouriteEntry)}, users); err != nil {
		return err
	}
	return v.compare(ctx, checkedView{hidden, "user_hidden", false, v.setting(hiddenEntry)}, users)
}

// withSettings returns those of some users who have settings by the log, or an entry in one of some views.
func (v *viewsCheck) withSettings(ctx context.Context, users []domain.UserID, views ...ports.UserViewRepairer) ([]domain.UserID, error) {
	entities := make([]entity.Versioned, len(users))
	for i, user := range users {
		entities[i].Entity = domain.SettingsEntity(user)
	}
	v.models.entities.Cached(v.chat, entities)
	if _, err := v.models.entities.Load(ctx, v.chat, entities); err != nil {
		return nil, err
	}
	known := make(map[domain.UserID]bool)
	for i, user := range users {
		known[user] = entities[i].Version > 0
	}
	for _, view := range views {
		entries, err := view.Look(ctx, v.models.views.Log, v.chat, users...)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			known[users[i]] = known[users[i]] || e.Version > 0 || e.Present || e.Broken
		}
	}
	var found []domain.UserID
	for _, user := range users {
		if known[user] {
			found = append(found, user)
		}
	}
	return found, nil
}

// setting returns the comparison of a view with the settings of users, of which it has what entry returns.
func (v *viewsCheck) setting(entry func(domain.Settings) ports.UserEntry) func(context.Context, domain.UserID, domain.Seq, ports.UserViewEntry) (bool, ports.UserEntry, error) {
	return func(ctx context.Context, user domain.UserID, at domain.Seq, e ports.UserViewEntry) (bool, ports.UserEntry, error) {
		entities := []entity.Versioned{{Entity: domain.SettingsEntity(user)}}
		if _, err := v.models.entities.At(at).Load(ctx, v.chat, entities); err != nil {
			return false, ports.UserEntry{}, err
		}
		s, _ := entities[0].State.(*domain.Settings)
		want := entry(*s)
		return e.Present == !want.Gone && e.Number == want.Number, want, nil
	}
}

// preview compares the chat's entry in the log's view with its last message. A chat without an entry, and an entry of an earlier state, are no contradiction:
// lists do not use them.
func (v *viewsCheck) preview(ctx context.Context) error {
	view, ok := v.models.log.(ports.ChatView)
	if !ok {
		return nil
	}
	kept, err := view.ListedLastMessages(ctx, v.chat)
	if err != nil || kept[0].Version == 0 {
		return err
	}
	last, err := v.models.LastPreviews(ctx, v.chat)
	if err != nil || last[0].Version != kept[0].Version || last[0].Seq != kept[0].Seq || agree(kept[0].LastPreview, last[0].LastPreview) {
		return err
	}
	c := ports.Contradiction{
		Kind: "chat_preview", Chat: v.chat, Seq: last[0].Seq, Repair: "the log's message replaces it",
		What: fmt.Sprintf("message %q of version %d is kept otherwise than the log has it", last[0].Message, last[0].Version),
	}
	if v.Repair {
		if err := view.PutLastMessages(ctx, last[0]); err != nil {
			return err
		}
		c.Repaired = true
	}
	return v.Report(c)
}

// agree reports whether two entries of a message are the same, whatever the lengths of their previews.
func agree(a, b ports.LastPreview) bool {
	same := strings.HasPrefix(a.Preview, b.Preview) || strings.HasPrefix(b.Preview, a.Preview)
	a.Preview, b.Preview = "", ""
	return same && a == b
}
