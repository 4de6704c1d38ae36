package ports

import (
	"context"
	"iter"

	"chatcore/domain"
)

// Contradiction is a structure of the log, or of a view of it, that contradicts another one.
type Contradiction struct {
	Kind     string        // names the rule: "segment", "head", …; stable across versions
	Chat     domain.ChatID // "" if it is of no one chat
	Seq      domain.Seq    // of the event that it is about; 0 if it is about none
	Group    string        // consumer group; "" for the log itself
	Key      string        // that is wrong
	What     string        // text of the contradiction
	Repair   string        // effect of a repair; "" if the log does not determine one
	Lost     string        // data that no repair restores, and the consequence
	Repaired bool
}

// UserViewEntry is a view's entry of one user and chat.
type UserViewEntry struct {
	Version domain.Seq // as of which the entry is; 0 if the view knows nothing
	Present bool       // whether there is a number
	Number  uint64     // 0 if there is none, or none that can be read
	Broken  bool       // whether version and number contradict each other
	Exact   string     // both as they are kept, for [UserViewRepairer.Replace]
}

// UserViewRepairer is a [UserView] that can be checked and corrected.
type UserViewRepairer interface {
	UserView
	// Look returns the entries of users in a chat, in the order of the users.
	Look(ctx context.Context, log string, chat domain.ChatID, users ...domain.UserID) ([]UserViewEntry, error)
	// Replace puts an entry in the place of another one, whatever their versions. It reports whether the other one was still there.
	Replace(ctx context.Context, log string, chat domain.ChatID, was UserViewEntry, is UserEntry) (bool, error)
	// Recount counts a user's numbers anew. It is for users whose entries were all checked.
	Recount(ctx context.Context, log string, user domain.UserID) error
	// Users yields the users that have entries, in no particular order, some twice. Iteration stops at the first error.
	Users(ctx context.Context) iter.Seq2[domain.UserID, error]
}
