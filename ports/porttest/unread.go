package porttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// testCountMembers compares the counts of all members of two chats, and of some, with a fold of the events, after random events that can happen.
func testCountMembers(t *testing.T, log Log) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHarness(rt, log)
		chats := []domain.ChatID{NewChatID(), NewChatID()}
		for _, c := range chats {
			h.append(then(created(c)))
		}
		users := []domain.UserID{ann, bob, "cem", `odd|"{user}`}
		for range rapid.IntRange(1, 30).Draw(rt, "events") {
			c := rapid.SampledFrom(chats).Draw(rt, "chat")
			if e, possible := drawUnreadEvent(rt, c, h.history(c), users); possible && (hasRules(log) || !isSettings(e)) {
				h.append(then(e))
			}
		}
		after := domain.Seq(rapid.IntRange(0, int(h.history(chats[1]).head())+1).Draw(rt, "after")) //nolint:gosec // small
		h.checkMembers(ports.CountRequest{Chat: chats[1], Most: ports.MaxCountMembers, After: after}, ports.CountRequest{Chat: chats[1], Users: users, After: after})
		h.checkMembers(ports.CountRequest{Chat: chats[0], Most: ports.MaxCountMembers}, ports.CountRequest{Chat: NewChatID(), Most: 1},
			ports.CountRequest{Chat: chats[1], Users: users}, ports.CountRequest{Chat: chats[1], Most: 1}, ports.CountRequest{Chat: chats[0], Users: users[1:2]})
	})
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	var joins []ports.NewEvent
	for i := range 300 {
		joins = append(joins, added(c, domain.UserID(fmt.Sprint("user-", i))))
	}
	h.append(then(joins...))
	h.append(then(sent(c, "m", ann)))
	h.checkMembers(ports.CountRequest{Chat: c, Most: 300}, ports.CountRequest{Chat: c, Most: 301})
	h.checkMembers()
	for _, r := range []ports.CountRequest{{Chat: c, Most: ports.MaxCountMembers + 1}, {Chat: c, Users: make([]domain.UserID, ports.MaxCountMembers+1)}} {
		var invalid *domain.InvalidError
		if _, err := log.CountMembers(t.Context(), r); !errors.As(err, &invalid) {
			t.Errorf("%d users, at most %d: error %v, want an InvalidError", len(r.Users), r.Most, err)
		}
	}
}

// isSettings reports whether an event changes settings, which logs below level 4 do not take.
func isSettings(e ports.NewEvent) bool {
	_, is := e.Event.(domain.ChatSettings)
	return is
}

// drawUnreadEvent draws an event that may change a count. It reports false if the event cannot happen.
func drawUnreadEvent(rt *rapid.T, c domain.ChatID, known *history, users []domain.UserID) (ports.NewEvent, bool) {
	user := rapid.SampledFrom(users).Draw(rt, "user")
	member := known.unread(user).Outcome == ports.UnreadCounted
	n := int(known.ordinal(known.head())) //nolint:gosec // small
	i := rapid.IntRange(0, max(n, 1)-1).Draw(rt, "message")
	message, seq, deletedYet := domain.MessageID(fmt.Sprint("m", i)), domain.Seq(0), false
	for _, r := range known.records {
		switch e := r.Event.(type) {
		case domain.MessageNew:
			if e.Message == message {
				seq = r.Seq
			}
		case domain.MessageDelete:
			deletedYet = deletedYet || e.Message == message
		}
	}
	switch rapid.IntRange(0, 7).Draw(rt, "event") {
	case 0:
		return added(c, user), !member
	case 1:
		return removed(c, user), member && user != ann
	case 2:
		return owned(c, user), member
	case 3:
		return deleted(c, message, ann), seq > 0 && !deletedYet
	case 4:
		if at := known.standing(user); at.unreadFrom > 0 { // only a receipt that is not older ends it
			seq = max(seq, at.mark, at.unreadFrom)
		}
		return read(c, message, user, seq), seq > 0 && member
	case 5:
		from := seq * domain.Seq(rapid.IntRange(0, 1).Draw(rt, "marks unread")) //nolint:gosec // small
		return settings(c, user, domain.ChatSettings{UnreadSeq: &from}), member && (from == 0 || from > known.standing(user).joined)
	}
	return sent(c, domain.MessageID(fmt.Sprint("m", n)), user), member
}

// checkMembers compares counts with folds of the histories.
func (h *harness) checkMembers(requests ...ports.CountRequest) {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	counts, err := h.log.CountMembers(ctx, requests...)
	if err != nil || len(counts) != len(requests) {
		h.t.Fatalf("%d counts for %d requests, error %v", len(counts), len(requests), err)
	}
	for i, r := range requests {
		history, got := h.history(r.Chat), counts[i]
		if got.Head != history.head() || got.Head > 0 && got.Members != len(history.members()) {
			h.t.Fatalf("chat %q with %d members has the head %d, want %d and %d", r.Chat, got.Members, got.Head, len(history.members()), history.head())
		}
		var want []ports.MemberCount
		switch users := r.Users; {
		case got.Head == 0:
		case len(users) == 0 && got.Members <= r.Most:
			slices.SortFunc(got.Users, func(a, b ports.MemberCount) int { return strings.Compare(string(a.User), string(b.User)) })
			users = history.members()
			fallthrough
		default:
			for _, user := range users {
				version := history.version(domain.MemberEntity(user))
				if history.unread(user).Outcome == ports.UnreadNotMember && version <= r.After && version > 0 {
					continue
				}
				want = append(want, ports.MemberCount{User: user, UnreadCount: history.unread(user)})
			}
		}
		for k, c := range got.Users {
			switch {
			case c.Outcome != ports.UnreadUnknown:
			case history.version(domain.MemberEntity(c.User)) == 0: // it never was a member
				got.Users[k].Outcome = ports.UnreadNotMember
			case history.standing(c.User).takenBack:
				got.Users[k].UnreadCount = history.unread(c.User)
			}
		}
		if !slices.Equal(got.Users, want) {
			h.t.Fatalf("the counts of chat %q are %+v, want %+v", r.Chat, got.Users, want)
		}
	}
}

// standing is what a count depends on, beside the messages.
type standing struct {
	joined     domain.Seq // 0 unless the user is a member
	mark       domain.Seq // of the last message read
	unreadFrom domain.Seq // the first message that the user has marked as unread since the mark moved, or 0
	takenBack  bool       // whether the user has taken such a mark back
}

// standing folds how a user stands in the chat.
func (h *history) standing(user domain.UserID) (s standing) {
	for _, r := range h.records {
		switch e := r.Event.(type) {
		case domain.MessageNew:
			if e.Sender == user {
				s.mark, s.unreadFrom = max(s.mark, r.Seq), 0
			}
		case domain.ReadReceipt:
			if e.User == user {
				s.mark, s.unreadFrom = max(s.mark, e.ReadSeq), 0
			}
		case domain.ChatSettings:
			if e.User == user && e.UnreadSeq != nil {
				s.unreadFrom, s.takenBack = *e.UnreadSeq, s.takenBack || *e.UnreadSeq == 0
			}
		case domain.ChatUpdate:
			switch about := e.User == user; {
			case e.Change == domain.Created && e.Actor == user, e.Change == domain.MemberAdded && about:
				s.joined = r.Seq
			case e.Change == domain.MemberRemoved && about:
				s.joined = 0
			}
		}
	}
	return s
}

// unread folds the count of a user.
func (h *history) unread(user domain.UserID) ports.UnreadCount {
	s := h.standing(user)
	if s.joined == 0 {
		return ports.UnreadCount{Outcome: ports.UnreadNotMember}
	}
	sent := make(map[domain.MessageID]domain.Seq)
	for _, r := range h.records {
		switch e := r.Event.(type) {
		case domain.MessageNew:
			sent[e.Message] = r.Seq
		case domain.MessageDelete:
			delete(sent, e.Message)
		}
	}
	since := max(s.joined, s.mark)
	if s.unreadFrom > 0 {
		since = max(s.joined, s.unreadFrom-1)
	}
	count := ports.UnreadCount{Outcome: ports.UnreadCounted}
	for _, seq := range sent {
		if seq > since {
			count.Messages++
		}
	}
	return count
}

// testCountMembersMoment has two members write in turn while both are counted: the count of each follows from the head.
func testCountMembersMoment(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob), added(c, "cem")))
	ctx, cancel := context.WithCancel(t.Context())
	var writer errgroup.Group
	writer.Go(func() error {
		defer cancel()
		for i := range 60 {
			if _, err := log.Append(t.Context(), then(sent(c, domain.MessageID(fmt.Sprint("m", i)), []domain.UserID{ann, bob}[i%2]))); err != nil {
				return err
			}
		}
		return nil
	})
	for again := true; again; {
		again = ctx.Err() == nil
		counts, err := log.CountMembers(t.Context(), ports.CountRequest{Chat: c, Users: []domain.UserID{ann, bob, "cem"}})
		if err != nil {
			t.Fatal(err)
		}
		n := domain.Ordinal(counts[0].Head) - 3
		want := []domain.Ordinal{(n + 1) % 2 * min(n, 1), n % 2, n}
		for i, got := range counts[0].Users {
			if got.Messages != want[i] || got.Outcome != ports.UnreadCounted {
				t.Fatalf("after %d messages the counts are %+v, want %d", n, counts[0].Users, want)
			}
		}
	}
	if err := writer.Wait(); err != nil {
		t.Fatal(err)
	}
}
