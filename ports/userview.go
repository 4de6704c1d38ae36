package ports

import (
	"context"

	"chatcore/domain"
)

// UserView keeps a number for each user and chat, as a projection of the chats' events makes it: a count, a seq. A number is as of a seq of
// its chat, its version, and is replaced by later ones only, so that neither a repeated delivery nor a handler that comes late changes
// it, and no more than a version is kept to know that.
//
// Numbers belong to an event log. When a user's are put for another log, those of the log before are forgotten, versions and all.
type UserView interface {
	// Put takes each entry unless one of at least its version was taken of that user and chat; see [UserEntry] for those of a rebuild. Each is taken in one step, all of them in
	// none: after an error some may have been taken, and the same call can be made again. There need be no entry. It returns a [*ForeignValueError] if
	// a user's numbers cannot be kept because something else is there; those of other users are taken.
	Put(ctx context.Context, log string, puts ...ChatEntries) error
	// Of gives a user's numbers by chat, as of one moment.
	Of(ctx context.Context, log string, user domain.UserID) (map[domain.ChatID]uint64, error)
}

// UserViewCounter is a [UserView] that counts a user's numbers without reading them.
type UserViewCounter interface {
	// Count returns how many numbers each user has, in the order of the users, as of different moments. It reports no loss; Of does.
	Count(ctx context.Context, log string, users ...domain.UserID) ([]int, error)
}

// UserViewBulkReader is a [UserView] that reads the numbers of many users at once.
type UserViewBulkReader interface {
	// OfUsers returns what Of returns for each user, in the order of the users, as of different moments. An error of one user is the error of all. Its
	// round trips do not follow the number of users.
	OfUsers(ctx context.Context, log string, users ...domain.UserID) ([]map[domain.ChatID]uint64, error)
}

// UserViewJoiner is a [UserView] that reads a user's numbers of several views at once.
type UserViewJoiner interface {
	// OfWith returns what Of returns for the user in this view and in the others, in this order, as of different moments, in one round trip. An error of one
	// view is the error of all; it is [errors.ErrUnsupported] if the others are of another store.
	OfWith(ctx context.Context, log string, user domain.UserID, others ...UserView) ([]map[domain.ChatID]uint64, error)
}

// ChatEntries are entries of one chat.
type ChatEntries struct {
	Chat    domain.ChatID
	Entries []UserEntry
}

// UserEntry is the number of one user in a chat.
type UserEntry struct {
	User    domain.UserID
	Version domain.Seq // as of which it is so
	Number  uint64
	Gone    bool // there is no number, instead
	// Rebuild is the lease epoch of a rebuild, or 0. An entry of a rebuild replaces every entry that no rebuild, or one with a lower epoch, has put,
	// whatever their versions: a version means nothing if the number was deleted, or if the log has lost the event. Among entries of the same epoch,
	// and for an entry without one, versions decide.
	Rebuild uint64
}
