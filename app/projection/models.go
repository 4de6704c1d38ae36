package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// together is how many users or messages are loaded in one step.
const together = 128

// Log is the part of the event log that read models are made of.
type Log interface {
	ports.EventLog
	ports.ChatIndex
	ports.MessageCounter
	ports.MemberCounter
	ports.EventSearch
	ports.Lister
	ports.BulkReader
}

// Views are the read models of the built-in subscribers, kept per user.
type Views struct {
	Log    string         // id of the event log that they are made of
	Chats  ports.UserView // the chats a user is in, with the seq of the join; nil if it is not kept
	Unread ports.UserView // how many messages a user has not read; nil if it is not kept
	Blocks ports.UserView // the direct chats in which a user blocks the other one; nil if it is not kept
	// Favourites has the favourites of a user, and Hidden the chats that a user has hidden, see [ports.Stores]; nil if they are not kept.
	Favourites, Hidden ports.UserView

	Preview int // bytes of the previews of last messages, at most [ports.MaxPreview]; 0: none

	Typing ports.TypingMarks // typing marks; nil without a store

	// Kept reports whether a process has ever run the built-in subscriber that keeps Chats. It is asked where a user has no chats. nil: yes.
	Kept func(ctx context.Context) (bool, error)
}

// ErrNoViews is returned by a query whose read model does not exist: as of a seq, on a custom log without one, or because no process has ever run the
// built-in subscribers on the log.
var ErrNoViews = errors.New("no such read model")

// NoView returns [ErrNoViews] with the reason and the remedy. option is the one that provides the read model.
func (m *Models) NoView(option string) error {
	if m.until > 0 {
		return fmt.Errorf("%w as of a seq: ask Core.Queries instead of Queries.At", ErrNoViews)
	}
	return fmt.Errorf("%w on this event log: open the core with %s", ErrNoViews, option)
}

// none returns ErrNoViews if a user has no chats because nobody keeps them.
func (v Views) none(ctx context.Context) error {
	if v.Kept == nil {
		return nil
	}
	kept, err := v.Kept(ctx)
	if err == nil && !kept {
		return fmt.Errorf("%w: no process has run the built-in subscribers on this log; Core.SubscribeBuiltins adds them", ErrNoViews)
	}
	return err
}

// Models read the read models of a log, and count from the log what these do not have.
type Models struct {
	log      Log
	entities *entity.Loader
	views    Views
	until    domain.Seq // 0: as of now
}

// NewModels returns the read models of a log, which are stored in views of it.
func NewModels(log Log, loader *entity.Loader, views Views) *Models {
	return &Models{log: log, entities: loader, views: views}
}

// At returns the models of which everything that counts from the log is as of a seq. It has no views, which are as of now: see [ErrNoViews].
func (m *Models) At(seq domain.Seq) *Models {
	return &Models{log: m.log, entities: m.entities.At(seq), until: seq}
}

// Views returns where the read models are stored.
func (m *Models) Views() Views { return m.views }

// ChatsOf returns the chats that a user is in, in no particular order, as far as the built-in subscriber has come. It returns [ErrNoViews] where no
// process has ever run that, and [ports.ErrCorrupt] where the user's view has lost chats.
func (m *Models) ChatsOf(ctx context.Context, user domain.UserID) ([]domain.ChatID, error) {
	if m.views.Chats == nil {
		return nil, m.NoView("WithUserViews")
	}
	chats, err := m.views.Chats.Of(ctx, m.views.Log, user)
	if err == nil && len(chats) == 0 {
		err = m.views.none(ctx)
	}
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(chats)), nil
}

// ChatsOfPage returns a page of what [Models.ChatsOf] returns, and the cursor of the next page.
func (m *Models) ChatsOfPage(ctx context.Context, user domain.UserID, cursor string, limit int) ([]domain.ChatID, string, error) {
	return m.page(ctx, m.views.Chats, "WithUserViews", user, cursor, limit)
}

// BlocksPage returns a page of the direct chats in which a user blocks the other one, as [Models.ChatsOfPage] returns chats.
func (m *Models) BlocksPage(ctx context.Context, user domain.UserID, cursor string, limit int) ([]domain.ChatID, string, error) {
	return m.page(ctx, m.views.Blocks, "WithBlockView", user, cursor, limit)
}

// page returns a page of the chats in which a user has a number in a view, which option provides.
func (m *Models) page(ctx context.Context, view ports.UserView, option string, user domain.UserID, cursor string, limit int) ([]domain.ChatID, string, error) {
	pager, ok := view.(ports.UserViewPager)
	if !ok {
		return nil, "", m.NoView(option + " and a ports.UserViewPager")
	}
	chats, next, err := pager.Page(ctx, m.views.Log, user, cursor, limit)
	if err == nil && len(chats) == 0 && cursor == "" {
		err = m.views.none(ctx)
	}
	return chats, next, err
}
