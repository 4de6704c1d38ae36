package domain_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
)

func settings(user domain.UserID, e domain.ChatSettings) domain.ChatSettings {
	e.Chat, e.User, e.At = "c", user, noon
	return e
}

func TestSettings(t *testing.T) {
	type change = domain.SettingsChange
	type event = domain.ChatSettings
	changes := func(c change) decision {
		return func(w *world) ([]domain.Durable, error) {
			var from domain.Message
			if c.UnreadFrom != nil {
				from = w.message(*c.UnreadFrom)
			}
			return entry(w.settings, "ann", domain.Settings{}).Change("c", w.member("ann"), c, from, w.head, noon)
		}
	}
	out := removed("own", "ann", domain.RoleMember)
	until := noon.Add(time.Hour)
	m := sent("m", "bob")
	all, always, untilMessage, shown := domain.NotifyAll, domain.HiddenAlways, domain.HiddenUntilMessage, domain.Shown
	level, hidden, favourite := settings("ann", event{Notify: &all}), settings("ann", event{Hidden: &untilMessage, HiddenSeq: 5}), settings("ann", event{Favourite: new(true)})
	unread := settings("ann", event{UnreadSeq: new(domain.Seq(6))})
	muted := settings("ann", event{MutedUntil: &until})
	one := func(e domain.ChatSettings) []domain.Durable { return []domain.Durable{e} }
	checkRules(t, []rule{
		{"an outsider", usual(out), changes(change{Notify: &all}), nil, domain.ErrNotMember},
		{"a level", usual(), changes(change{Notify: &all}), one(level), nil},
		{"the same level", usual(level), changes(change{Notify: &all}), nil, nil},
		{"the default is none", usual(), changes(change{Notify: new(domain.NotifyDefault)}), nil, nil},
		{"one of two differs", usual(level), changes(change{Notify: &all, Favourite: new(true)}), one(favourite), nil},
		{"mute", usual(), changes(change{MutedUntil: new(until.Add(time.Microsecond).In(time.FixedZone("x", 3600)))}), one(muted), nil},
		{"muted already", usual(muted), changes(change{MutedUntil: &until}), nil, nil},
		{"end the mute", usual(muted), changes(change{MutedUntil: &time.Time{}}), one(settings("ann", event{MutedUntil: &time.Time{}})), nil},
		{"hide until the next message", usual(), changes(change{Hidden: &untilMessage}), one(hidden), nil},
		{"hidden already", usual(hidden), changes(change{Hidden: &untilMessage}), nil, nil},
		{"hide again after a message", usual(hidden, m), changes(change{Hidden: &untilMessage}), one(settings("ann", event{Hidden: &untilMessage, HiddenSeq: 7})), nil},
		{"hide for good", usual(hidden), changes(change{Hidden: &always}), one(settings("ann", event{Hidden: &always})), nil},
		{"show", usual(hidden), changes(change{Hidden: &shown}), one(settings("ann", event{Hidden: &shown})), nil},
		{"shown already", usual(), changes(change{Hidden: &shown}), nil, nil},
		{"in an archived chat", usual(domain.ChatUpdate{Chat: "c", Actor: "own", Change: domain.Archived, At: noon}), changes(change{Favourite: new(true)}), one(favourite), nil},
		{"unread from a message", usual(m), changes(change{UnreadFrom: new(domain.MessageID("m"))}), one(unread), nil},
		{"unread from a tombstone", usual(m, deleted("m", "bob")), changes(change{UnreadFrom: new(domain.MessageID("m"))}), one(unread), nil},
		{"unread from no message", usual(), changes(change{UnreadFrom: new(domain.MessageID("m"))}), nil, domain.ErrMessageNotFound},
		{"unread from before the join", usual(m, out, joined("ann")), changes(change{UnreadFrom: new(domain.MessageID("m"))}), nil, domain.ErrSeqRange},
		{"take unread back", usual(m, unread), changes(change{UnreadFrom: new(domain.MessageID(""))}), one(settings("ann", event{UnreadSeq: new(domain.Seq(0))})), nil},
		{"nothing to take back", usual(m), changes(change{UnreadFrom: new(domain.MessageID(""))}), nil, nil},
		{"nothing", usual(), changes(change{}), nil, domain.ErrInvalid},
		{"no level", usual(), changes(change{Notify: new(domain.NotifyNone + 1)}), nil, domain.ErrInvalid},
		{"no hiding", usual(), changes(change{Hidden: new(domain.HiddenAlways + 1)}), nil, domain.ErrInvalid},
		{"a time out of range", usual(), changes(change{MutedUntil: new(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))}), nil, domain.ErrInvalid},
	})
}

func TestSettings_Time(t *testing.T) {
	s := domain.Settings{MutedUntil: noon}
	if !s.Muted(noon.Add(-time.Millisecond)) || s.Muted(noon) || (domain.Settings{}).Muted(noon) {
		t.Error("a mute lasts until its time, and ends at it")
	}
	until, always := domain.Settings{Hidden: domain.HiddenUntilMessage, HiddenSeq: 50}, domain.Settings{Hidden: domain.HiddenAlways}
	if !until.Hides(50) || until.Hides(51) || !always.Hides(51) || (domain.Settings{}).Hides(1) {
		t.Error("a hidden chat is shown after a message, one that is always hidden is not")
	}
}

// TestSettings_MarkedUnread goes through what ends a mark as unread, and what does not.
func TestSettings_MarkedUnread(t *testing.T) {
	unread := settings("ann", domain.ChatSettings{UnreadSeq: new(domain.Seq(6))})
	reply := sent("r", "ann")
	reply.Thread = "m1"
	receipt := domain.ReadReceipt{Chat: "c", User: "ann", Message: "m2", ReadSeq: 7, At: noon}
	before := usual(sent("m1", "bob"), sent("m2", "bob"), receipt, unread)
	for what, row := range map[string]struct {
		events []domain.Durable
		after  domain.Seq
	}{
		"marked":              {nil, 5},
		"a receipt again":     {[]domain.Durable{receipt}, 7},
		"an own message":      {[]domain.Durable{sent("m3", "ann")}, 10},
		"an own thread reply": {[]domain.Durable{reply}, 5},
		"a new favourite":     {[]domain.Durable{settings("ann", domain.ChatSettings{Favourite: new(true)})}, 5},
		"taken back":          {[]domain.Durable{settings("ann", domain.ChatSettings{UnreadSeq: new(domain.Seq(0))})}, 7},
		"a new membership":    {[]domain.Durable{removed("own", "ann", domain.RoleMember), joined("ann")}, 11},
	} {
		w := given(slices.Concat(before, row.events)...)
		got := entry(w.settings, "ann", domain.Settings{}).UnreadAfter(w.member("ann"), w.mark("ann"), w.moved["ann"])
		if got != row.after {
			t.Errorf("%s: messages after %d are unread, want %d", what, got, row.after)
		}
		if w.mark("ann").Seq < 7 {
			t.Errorf("%s: the read mark is %d", what, w.mark("ann").Seq)
		}
	}
}

// TestSettings_Fold folds random changes and compares each field with the last event that has it.
func TestSettings_Fold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, want domain.Settings
		for seq := range domain.Seq(rapid.IntRange(1, 12).Draw(t, "events")) {
			seq++
			clone, _ := s.Clone().(*domain.Settings)
			var e domain.ChatSettings
			switch rapid.IntRange(0, 4).Draw(t, "field") {
			case 0:
				e.Notify = new(domain.NotifyLevel(rapid.IntRange(0, 3).Draw(t, "level"))) //nolint:gosec // small
				want.Notify = *e.Notify
			case 1:
				e.MutedUntil = new(noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "hours")) * time.Hour))
				want.MutedUntil = *e.MutedUntil
			case 2:
				e.Favourite = new(rapid.Bool().Draw(t, "favourite"))
				want.Favourite = *e.Favourite
			case 3:
				e.Hidden, e.HiddenSeq = new(domain.Hiding(rapid.IntRange(0, 2).Draw(t, "hidden"))), seq-1 //nolint:gosec // small
				want.Hidden, want.HiddenSeq = *e.Hidden, e.HiddenSeq
			case 4:
				e.UnreadSeq = new(seq / 2)
				want.UnreadSeq, want.UnreadAt = *e.UnreadSeq, seq
			}
			want.Version = seq
			clone.Apply(seq, e)
			if *clone == s && seq > 1 {
				t.Fatal("a clone is the state")
			}
			if s = *clone; s != want {
				t.Fatalf("%+v, want %+v", s, want)
			}
		}
	})
}

// TestSettings_HideAgain hides a chat again that was hidden at seq 7: once anything else has happened since.
func TestSettings_HideAgain(t *testing.T) {
	hidden := domain.Settings{Hidden: domain.HiddenUntilMessage, HiddenSeq: 7, Version: 10}
	for head, want := range map[domain.Seq]int{8: 0, 9: 1, 10: 1} {
		change := domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)}
		events, err := hidden.Change("c", domain.Member{User: "ann", Role: domain.RoleMember}, change, domain.Message{}, head, time.Time{})
		if err != nil || len(events) != want {
			t.Errorf("at %d: %v, error %v", head, events, err)
		}
	}
}
