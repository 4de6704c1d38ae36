package projection

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// UserSettings keeps the favourites and the hidden chats of each user. Handling an event again, or late, changes nothing.
type UserSettings struct{ models *Models }

// newUserSettings returns nil unless both are kept.
func newUserSettings(models *Models) *UserSettings {
	if models.views.Favourites == nil || models.views.Hidden == nil {
		return nil
	}
	return &UserSettings{models: models}
}

// Handle applies a change of settings: one write for each of the two that it changes. An event that is in no log changes nothing. At the first event of a chat, with
// which a rebuild begins, Handle puts the settings that the log has.
func (u *UserSettings) Handle(ctx context.Context, d ports.Delivery) error {
	if d.ID.Seq == 1 {
		return u.rebuild(ctx, d)
	}
	e, changed := d.Event.(domain.ChatSettings)
	if !changed || d.ID.Seq == 0 {
		return nil
	}
	if e.Favourite != nil {
		entry := favouriteEntry(domain.Settings{Favourite: *e.Favourite})
		if err := put(ctx, u.models.views.Favourites, d, e.User, d.ID.Seq, entry); err != nil {
			return err
		}
	}
	if e.Hidden != nil {
		return put(ctx, u.models.views.Hidden, d, e.User, d.ID.Seq, hiddenEntry(domain.Settings{Hidden: *e.Hidden, HiddenSeq: e.HiddenSeq}))
	}
	return nil
}

func put(ctx context.Context, view ports.UserView, d ports.Delivery, user domain.UserID, version domain.Seq, entry ports.UserEntry) error {
	entry.User, entry.Version = user, version
	return view.Put(ctx, d.ID.Log, ports.ChatEntries{Chat: d.ID.Chat, Entries: []ports.UserEntry{entry}})
}

// rebuild puts the settings of all present and former members as of the head of a chat. Users without settings are left out: of those, the views have nothing.
func (u *UserSettings) rebuild(ctx context.Context, d ports.Delivery) error {
	var entities []entity.Versioned
	load := func() error {
		u.models.entities.Cached(d.ID.Chat, entities)
		head, err := u.models.entities.Load(ctx, d.ID.Chat, entities)
		if err != nil || head == 0 {
			return err
		}
		favourites, hidden := ports.ChatEntries{Chat: d.ID.Chat}, ports.ChatEntries{Chat: d.ID.Chat}
		for _, e := range entities {
			if s, _ := e.State.(*domain.Settings); e.Version > 0 {
				entry := ports.UserEntry{User: domain.UserID(e.Entity.ID), Version: head, Rebuild: d.Epoch}
				favourites.Entries = append(favourites.Entries, merged(entry, favouriteEntry(*s)))
				hidden.Entries = append(hidden.Entries, merged(entry, hiddenEntry(*s)))
			}
		}
		entities = entities[:0]
		if len(hidden.Entries) == 0 {
			return nil
		}
		return errors.Join(u.models.views.Favourites.Put(ctx, d.ID.Log, favourites), u.models.views.Hidden.Put(ctx, d.ID.Log, hidden))
	}
	for user, err := range u.models.log.Members(ctx, d.ID.Chat) {
		if err != nil {
			return err
		}
		if entities = append(entities, entity.Versioned{Entity: domain.SettingsEntity(user)}); len(entities) < together {
			continue
		}
		if err := load(); err != nil {
			return err
		}
	}
	return load()
}

// merged returns an entry with the number of another one.
func merged(entry, number ports.UserEntry) ports.UserEntry {
	entry.Number, entry.Gone = number.Number, number.Gone
	return entry
}

// favouriteEntry returns what the view of favourites has of a user's settings, without user and version.
func favouriteEntry(s domain.Settings) ports.UserEntry {
	if !s.Favourite {
		return ports.UserEntry{Gone: true}
	}
	return ports.UserEntry{Number: 1}
}

// hiddenEntry returns what the view of hidden chats has of a user's settings, without user and version.
func hiddenEntry(s domain.Settings) ports.UserEntry {
	switch s.Hidden {
	case domain.HiddenAlways:
		return ports.UserEntry{Number: ports.HiddenAlways}
	case domain.HiddenUntilMessage:
		return ports.UserEntry{Number: uint64(s.HiddenSeq)}
	case domain.Shown:
	}
	return ports.UserEntry{Gone: true}
}

// ListedChats are the numbers of a user's views by chat.
type ListedChats struct {
	Joined             map[domain.ChatID]uint64 // the seq of the join, of all chats that the user is in
	Favourites, Hidden map[domain.ChatID]uint64 // nil if they are not kept
}

// ListedChats returns the chats of a user with what the views of settings have of them, as far as the built-in subscriber has come: in one round trip if the views
// are of one store. It returns the errors of [Models.ChatsOf].
func (m *Models) ListedChats(ctx context.Context, user domain.UserID) (ListedChats, error) {
	if m.views.Chats == nil {
		return ListedChats{}, m.NoView("WithUserViews")
	}
	views := []ports.UserView{m.views.Chats}
	if newUserSettings(m) != nil {
		views = append(views, m.views.Favourites, m.views.Hidden)
	}
	found, err := m.numbersIn(ctx, user, views)
	if err == nil && len(found[0]) == 0 {
		err = m.views.none(ctx)
	}
	if err != nil {
		return ListedChats{}, err
	}
	listed := ListedChats{Joined: found[0]}
	if len(found) > 1 {
		listed.Favourites, listed.Hidden = found[1], found[2]
	}
	return listed, nil
}

// numbersIn returns the numbers of a user in some views.
func (m *Models) numbersIn(ctx context.Context, user domain.UserID, views []ports.UserView) ([]map[domain.ChatID]uint64, error) {
	if joiner, ok := views[0].(ports.UserViewJoiner); ok {
		found, err := joiner.OfWith(ctx, m.views.Log, user, views[1:]...)
		if !errors.Is(err, errors.ErrUnsupported) {
			return found, err
		}
	}
	found := make([]map[domain.ChatID]uint64, len(views))
	group, ctx := errgroup.WithContext(ctx)
	for i, view := range views {
		group.Go(func() (err error) {
			found[i], err = view.Of(ctx, m.views.Log, user)
			return err
		})
	}
	return found, group.Wait()
}
