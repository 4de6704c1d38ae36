package eventlog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// readers is a model of who has read what in a chat.
type readers struct {
	chat     domain.ChatID
	head     domain.Seq
	messages map[domain.MessageID]domain.Seq
	deleted  map[domain.MessageID]bool
	since    map[domain.UserID]domain.Seq // 0 for a former member
	mark     map[domain.UserID]domain.Seq
	moves    map[domain.UserID]int          // events of the user's membership since the join
	marks    map[domain.UserID][]domain.Seq // seqs of the events that moved the mark
}

func (r *readers) apply(e domain.Durable) {
	r.head++
	read := func(user domain.UserID, seq domain.Seq) {
		r.mark[user] = max(r.mark[user], seq)
		r.marks[user] = append(r.marks[user], r.head)
	}
	switch e := e.(type) {
	case domain.MessageNew:
		r.messages[e.Message] = r.head
		read(e.Sender, r.head)
	case domain.MessageDelete:
		r.deleted[e.Message] = true
	case domain.ReadReceipt:
		read(e.User, e.ReadSeq)
	case domain.ChatUpdate:
		switch e.Change {
		case domain.Created:
			r.since[e.Actor], r.moves[e.Actor] = r.head, 1
		case domain.MemberAdded:
			r.since[e.User], r.moves[e.User] = r.head, 1
		case domain.MemberRemoved:
			r.since[e.User] = 0
		case domain.RoleChanged:
			r.moves[e.User]++
		case domain.Renamed, domain.Archived, domain.Unarchived:
		}
	}
}

// unread is what a count must give for a user.
func (r *readers) unread(user domain.UserID) ports.UnreadCount {
	since, known := r.since[user]
	switch {
	case !known:
		return ports.UnreadCount{}
	case since == 0:
		return ports.UnreadCount{Outcome: ports.UnreadNotMember}
	}
	count := ports.UnreadCount{Outcome: ports.UnreadCounted}
	for m, seq := range r.messages {
		if seq > max(since, r.mark[user]) && !r.deleted[m] {
			count.Messages++
		}
	}
	return count
}

// known reports whether a count of the user must be known: the script reads 32 events of the membership, and 32 of the read mark.
func (r *readers) known(user domain.UserID) bool {
	looks := 0
	for _, seq := range r.marks[user] {
		if seq >= r.mark[user] {
			looks++
		}
	}
	return r.moves[user] <= 32 && looks < 32
}

func (r *readers) draw(random *rand.Rand, n int) domain.Durable {
	user := domain.UserID(fmt.Sprint("u", random.IntN(5)))
	message := domain.MessageID(fmt.Sprintf("m%d", random.IntN(n+1)))
	seq, sent := r.messages[message]
	since := r.since[user]
	// A content that looks like fields of events must not be taken for them.
	const content = `"change":"member_removed","ordinal":1,"readSeq":99999`
	switch step := random.IntN(20); {
	case step < 2 && since == 0:
		return domain.ChatUpdate{Chat: r.chat, Actor: "ada", Change: domain.MemberAdded, User: user, Role: domain.RoleMember, At: time.Now()}
	case step < 2 && random.IntN(3) == 0:
		return domain.ChatUpdate{Chat: r.chat, Actor: "ada", Change: domain.MemberRemoved, User: user, Previous: domain.RoleMember, At: time.Now()}
	case step < 4 && since > 0:
		return domain.ChatUpdate{Chat: r.chat, Actor: "ada", Change: domain.RoleChanged, User: user, Role: domain.RoleAdmin, Previous: domain.RoleMember, At: time.Now()}
	case step < 5:
		return domain.ChatUpdate{Chat: r.chat, Actor: "ada", Change: domain.Renamed, Title: content, At: time.Now()}
	case step < 8 && sent && since > 0: // of a message that may be older than the last one read
		return domain.ReadReceipt{Chat: r.chat, User: user, Message: message, ReadSeq: seq, At: time.Now()}
	case step < 10 && sent && !r.deleted[message]:
		return domain.MessageDelete{Chat: r.chat, Message: message, By: "ada", At: time.Now()}
	case step < 12 && sent:
		return domain.MessageReaction{Chat: r.chat, Message: message, User: user, Emoji: "👍", Action: domain.ReactionAdd, At: time.Now()}
	}
	sender := domain.UserID("ada")
	if since > 0 && random.IntN(4) == 0 {
		sender = user
	}
	return domain.MessageNew{Chat: r.chat, Message: domain.MessageID(fmt.Sprintf("m%d", n)), Sender: sender, Content: content, At: time.Now()}
}

// TestCountUnread_Model compares the counts of several chats with a model, after random events, on both sides of a segment's end.
func TestCountUnread_Model(t *testing.T) {
	t.Run("present level", func(t *testing.T) { testCountUnread(t, eventlog.Level, 0) })
	t.Run("level 2", func(t *testing.T) { testCountUnread(t, 2, 0) })
	t.Run("raised", func(t *testing.T) { testCountUnread(t, 2, 75) })
}

// testCountUnread creates the log at a level and, unless raise is 0, raises it to the present one after so many rounds.
func testCountUnread(t *testing.T, level, raise int) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys := rig.NewKeys(t, 2)
	known := level
	if raise > 0 {
		known = eventlog.Level
		openKnowing(t, client, keys, level)
	}
	log := openKnowing(t, client, keys, known)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)) //nolint:gosec // a test
	var chats []domain.ChatID
	var models []*readers
	record := func(r *readers, events ...domain.Durable) {
		t.Helper()
		a := ports.Append{Chat: r.chat}
		for _, e := range events {
			a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprintf("%s-%d", r.chat, r.head)), Event: e, Moves: domain.Moves(e)})
			r.apply(e)
		}
		rig.Appended(t, log, a)
	}
	for i := range 4 {
		r := &readers{
			chat: domain.ChatID(fmt.Sprint("c", i)), messages: map[domain.MessageID]domain.Seq{}, deleted: map[domain.MessageID]bool{},
			since: map[domain.UserID]domain.Seq{}, mark: map[domain.UserID]domain.Seq{}, moves: map[domain.UserID]int{}, marks: map[domain.UserID][]domain.Seq{},
		}
		chats, models = append(chats, r.chat), append(models, r)
		record(r, domain.ChatUpdate{Chat: r.chat, Actor: "ada", Change: domain.Created, At: time.Now()})
	}
	for r := models[0]; r.head < 1000; { // the next events lie in two segments
		record(r, toggles(r.chat, "m0", 111)...)
	}
	users := []domain.UserID{"ada", "u0", "u1", "u2", "u3", "u4", "nobody"}
	check := func(n int) {
		t.Helper()
		for _, user := range users {
			counts, err := log.CountUnread(t.Context(), user, append(chats, "nowhere")...)
			if err != nil || len(counts) != len(chats)+1 || counts[len(chats)] != (ports.UnreadCount{}) {
				t.Fatalf("after %d events, counts of %s: %+v, error %v", n, user, counts, err)
			}
			for i, r := range models {
				want := r.unread(user)
				if counts[i] != want && (r.known(user) || counts[i].Outcome != ports.UnreadUnknown) {
					t.Fatalf("after %d events, %s in %s: %+v, want %+v", n, user, r.chat, counts[i], want)
				}
			}
		}
	}
	for n := range 150 {
		if raise > 0 && n == raise {
			raiseLevel(t, client, keys)
		}
		for _, r := range models {
			record(r, r.draw(random, n))
		}
		if n%5 == 0 {
			check(n)
		}
	}
	checkDamagedCounts(t, log, func(suffix string) {
		t.Helper()
		names, err := client.Keys(t.Context(), keys.Prefix()+"*"+suffix).Result()
		if err == nil && len(names) == 1 {
			err = client.Del(t.Context(), names...).Err()
		}
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
	}, record, models)
}

// checkDamagedCounts removes a key of each chat: what is missing is not counted as nothing.
func checkDamagedCounts(
	t *testing.T, log *eventlog.Log, remove func(suffix string), record func(r *readers, events ...domain.Durable), models []*readers,
) {
	t.Helper()
	for i, suffix := range []string{":1", ":0", ":x", ":d"} { // the first chat has two segments
		r := models[i]
		message := domain.MessageID("last-" + suffix[1:])
		record(r, domain.MessageNew{Chat: r.chat, Message: "gone-" + message, Sender: "ada", Content: "x", At: time.Now()},
			domain.MessageDelete{Chat: r.chat, Message: "gone-" + message, By: "ada", At: time.Now()},
			domain.ChatUpdate{Chat: r.chat, Actor: "ada", Change: domain.MemberAdded, User: "eve", Role: domain.RoleMember, At: time.Now()},
			domain.MessageNew{Chat: r.chat, Message: message, Sender: "ada", Content: "x", At: time.Now()})
		count := func() ports.UnreadCount {
			counts, err := log.CountUnread(t.Context(), "eve", r.chat)
			if err != nil {
				t.Fatal(err)
			}
			return counts[0]
		}
		if got := count(); got != r.unread("eve") {
			t.Errorf("before %s is removed: %+v, want %+v", suffix, got, r.unread("eve"))
		}
		want := ports.UnreadCount{}
		if log.Level() >= 3 && (suffix == ":0" || suffix == ":1") { // the read mark and the head have the count
			want = r.unread("eve")
		}
		remove(":" + string(r.chat) + suffix)
		if got := count(); got != want {
			t.Errorf("without %s: %+v, want %+v", suffix, got, want)
		}
	}
}
