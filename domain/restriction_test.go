package domain_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"chatcore/domain"
)

func TestRestrictions(t *testing.T) {
	later := noon.Add(time.Hour)
	ban, mute := domain.RestrictionChange{Kind: domain.Ban}, domain.RestrictionChange{Kind: domain.Mute}
	until := func(r domain.RestrictionChange, at time.Time) domain.RestrictionChange {
		r.Until = at
		return r
	}
	lift := func(r domain.RestrictionChange) domain.RestrictionChange {
		r.Lift = true
		return r
	}
	banned, muted := restricted("own", "ann", domain.Ban, time.Time{}), restricted("own", "ann", domain.Mute, later)
	out := removed("own", "ann", domain.RoleMember)
	add := func(user domain.UserID, at time.Time) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Add(w.member("own"), w.member(user), user, at) }
	}
	join := func(by domain.UserID, at time.Time) decision {
		return on(by, func(c domain.Chat, m domain.Member) ([]domain.Durable, error) { return c.Join(m, at) })
	}
	message := func(at time.Time) []domain.Durable {
		return []domain.Durable{domain.MessageNew{Chat: "c", Message: "m", Sender: "ann", Content: "hi", At: at}}
	}
	added := joined("ann")
	public := policy(domain.Public, nil)
	joins := change("ann", domain.MemberAdded)
	joins.User, joins.Role, joins.At = "ann", domain.RoleMember, later
	checkRules(t, []rule{
		{"ban a member", usual(), restricting("own", "ann", ban), []domain.Durable{out, banned}, nil},
		{"ban an outsider", usual(), restricting("own", "eve", ban), []domain.Durable{restricted("own", "eve", domain.Ban, time.Time{})}, nil},
		{"a member bans", usual(), restricting("ann", "bob", ban), nil, domain.ErrForbidden},
		{"an outsider bans", usual(), restricting("eve", "bob", ban), nil, domain.ErrNotMember},
		{"an admin bans an admin", usual(madeRole("ann", domain.RoleAdmin, domain.RoleMember)), restricting("adm", "ann", ban), nil, domain.ErrForbidden},
		{"an admin mutes an owner", usual(), restricting("adm", "own", mute), nil, domain.ErrForbidden},
		{"an owner mutes an admin", usual(), restricting("own", "adm", mute), []domain.Durable{restricted("own", "adm", domain.Mute, time.Time{})}, nil},
		{"oneself", usual(), restricting("own", "own", mute), nil, domain.ErrInvalid},
		{"no chat", nil, restricting("own", "ann", mute), nil, domain.ErrChatNotFound},
		{"in an archived chat", usual(change("own", domain.Archived)), restricting("own", "ann", until(mute, later)), []domain.Durable{muted}, nil},
		{"banned already", usual(out, banned), restricting("own", "ann", ban), nil, nil},
		{"another end", usual(muted), restricting("own", "ann", until(mute, later.Add(time.Second))), []domain.Durable{restricted("own", "ann", domain.Mute, later.Add(time.Second))}, nil},
		{"less than a millisecond apart", usual(muted), restricting("own", "ann", until(mute, later.Add(time.Microsecond))), nil, nil},
		{"an end that has passed", usual(), restricting("own", "ann", until(mute, noon)), nil, domain.ErrInvalid},
		{"nothing to lift", usual(), restricting("own", "ann", lift(mute)), nil, nil},
		{"lift", usual(muted), restricting("adm", "ann", lift(mute)), []domain.Durable{lifted("adm", "ann", domain.Mute)}, nil},
		{"lift with an end", usual(muted), restricting("adm", "ann", until(lift(mute), later)), nil, domain.ErrInvalid},
		{"block in a group", usual(), restricting("own", "ann", domain.RestrictionChange{Kind: domain.Block}), nil, domain.ErrInvalid},
		{"block with an end", direct(), restricting("ann", "bob", domain.RestrictionChange{Kind: domain.Block, Until: later}), nil, domain.ErrInvalid},
		{"no kind", usual(), restricting("own", "ann", domain.RestrictionChange{}), nil, domain.ErrInvalid},

		{"a banned user is added", usual(out, banned), add("ann", noon), nil, domain.ErrBanned},
		{"a banned user joins", usual(public, out, banned), join("ann", noon), nil, domain.ErrBanned},
		{"the ban has ended", usual(public, out, restricted("own", "ann", domain.Ban, later)), join("ann", later), []domain.Durable{joins}, nil},
		{"a moment before", usual(public, out, restricted("own", "ann", domain.Ban, later)), join("ann", later.Add(-time.Millisecond)), nil, domain.ErrBanned},
		{"the ban is lifted", usual(out, banned, lifted("own", "ann", domain.Ban)), add("ann", noon), []domain.Durable{added}, nil},

		{"a muted user posts", usual(muted), posting("ann", later.Add(-time.Millisecond)), nil, domain.ErrMuted},
		{"the mute has ended", usual(muted), posting("ann", later), message(later), nil},
		{"the mute is lifted", usual(muted, lifted("own", "ann", domain.Mute)), posting("ann", noon), message(noon), nil},
		{"muted, away and back", usual(muted, removed("ann", "ann", domain.RoleMember), added), posting("ann", noon), nil, domain.ErrMuted},
		{"muted before the join", usual(restricted("own", "eve", domain.Mute, later), joined("eve")), posting("eve", noon), nil, domain.ErrMuted},
		{"muted and promoted", usual(muted, madeRole("ann", domain.RoleAdmin, domain.RoleMember)), posting("ann", noon), nil, domain.ErrMuted},
		{"a muted user reacts", usual(sent("m", "own"), muted), func(w *world) ([]domain.Durable, error) {
			return w.chat.React(w.member("ann"), w.message("m"), w.reacted("m"), "👍", noon)
		}, nil, domain.ErrMuted},
		{"a muted user edits", usual(sent("m", "ann"), muted), func(w *world) ([]domain.Durable, error) {
			return w.message("m").Edit(w.member("ann"), domain.Revision{Content: "ho"}, domain.Referred{}, 0, noon)
		}, nil, domain.ErrMuted},
		{"a muted user records", usual(muted), on("ann", func(c domain.Chat, m domain.Member) ([]domain.Durable, error) {
			return c.Record(m, domain.Custom{Type: "poll:created"}, noon)
		}), nil, domain.ErrMuted},
		{"a muted user types", usual(muted), func(w *world) ([]domain.Durable, error) {
			_, err := domain.TypingMark{}.Start(w.chat, w.member("ann"), noon)
			return nil, err
		}, nil, domain.ErrMuted},
		{"a muted user deletes", usual(sent("m", "ann"), muted), func(w *world) ([]domain.Durable, error) {
			return w.message("m").Delete(w.member("ann"), "", noon)
		}, []domain.Durable{deleted("m", "ann")}, nil},
		{
			"a muted user leaves", usual(muted), on("ann", func(c domain.Chat, m domain.Member) ([]domain.Durable, error) { return c.Leave(m, noon) }),
			[]domain.Durable{removed("ann", "ann", domain.RoleMember)},
			nil,
		},
		{"a repetition of a message", usual(sent("m", "ann"), muted), posting("ann", noon), nil, nil},
	})
}

func TestRestrictedError(t *testing.T) {
	_, err := given(usual(restricted("own", "ann", domain.Mute, noon.Add(time.Hour)))...).muted()
	var restricted *domain.RestrictedError
	if !errors.As(err, &restricted) || restricted.Kind != domain.Mute || !restricted.Until.Equal(noon.Add(time.Hour)) || restricted.User != "ann" {
		t.Errorf("the error is %#v", err)
	}
	var refusal *domain.Refusal
	if !errors.As(err, &refusal) || !errors.Is(err, domain.ErrMuted) {
		t.Errorf("%v is no refusal", err)
	}
}

// muted is the decision of a post by ann.
func (w *world) muted() ([]domain.Durable, error) { return posting("ann", noon)(w) }

func TestAddAll(t *testing.T) {
	w := given(usual(restricted("own", "eve", domain.Ban, time.Time{}))...)
	add := func(by domain.UserID, users ...domain.UserID) ([]domain.Durable, []domain.Admission, error) {
		return w.chat.AddAll(w.member(by), w.all(users), func(domain.UserID) bool { return false }, noon)
	}
	events, admissions, err := add("own", "ann", "cem", "eve", "dan")
	if want := []domain.Admission{domain.AlreadyMember, domain.Admitted, domain.NotAdmitted, domain.Admitted}; err != nil || !slices.Equal(admissions, want) {
		t.Errorf("%v, error %v, want %v", admissions, err, want)
	}
	if want := []domain.Durable{joined("cem"), joined("dan")}; !slices.Equal(events, want) {
		t.Errorf("%+v, want %+v", events, want)
	}
	if _, _, err := add("ann", "cem"); !errors.Is(err, domain.ErrForbidden) {
		t.Errorf("by a member: %v", err)
	}
	w.apply(change("own", domain.Archived))
	if _, _, err := add("own", "cem"); !errors.Is(err, domain.ErrArchived) {
		t.Errorf("to an archived chat: %v", err)
	}
}
