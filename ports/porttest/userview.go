package porttest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// UserView tests a view by user. open may return the same view for every subtest.
func UserView(t *testing.T, open func(t *testing.T) ports.UserView) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, v view)
	}{
		{"versions only move forward", testViewVersions},
		{"a removed entry returns only with a later version", testViewGone},
		{"a rebuild replaces all earlier entries", testViewRebuild},
		{"users and chats are apart", testViewApart},
		{"many users at once", testViewMany},
		{"many chats at once", testViewChats},
		{"another log begins anew", testViewLogs},
		{"of concurrent puts the latest is left", testViewConcurrent},
		{"an ended context puts nothing", testViewEnded},
		{"random puts", testViewRandom},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, view{t, open(t)}) })
	}
}

type view struct {
	t tb
	ports.UserView
}

func (v view) put(log string, chat domain.ChatID, entries ...ports.UserEntry) {
	v.t.Helper()
	if err := v.Put(v.t.Context(), log, ports.ChatEntries{Chat: chat, Entries: entries}); err != nil {
		v.t.Fatalf("put: %v", err)
	}
}

func (v view) expect(log string, user domain.UserID, want map[domain.ChatID]uint64) {
	v.t.Helper()
	got, err := v.Of(v.t.Context(), log, user)
	if err != nil || !maps.Equal(got, want) {
		v.t.Fatalf("user %q has %v, error %v, want %v", user, got, err, want)
	}
	bulk, ok := v.UserView.(ports.UserViewBulkReader)
	if !ok {
		return
	}
	several, err := bulk.OfUsers(v.t.Context(), log, newUserID(), user, user)
	if err != nil || len(several) != 3 || len(several[0]) != 0 || !maps.Equal(several[1], want) || !maps.Equal(several[2], want) {
		v.t.Fatalf("of users: user %q has %v, error %v, want none for an unknown user and %v twice", user, several, err, want)
	}
}

func entry(user domain.UserID, version domain.Seq, number uint64) ports.UserEntry {
	return ports.UserEntry{User: user, Version: version, Number: number}
}

func one(chat domain.ChatID, e ports.UserEntry) ports.ChatEntries {
	return ports.ChatEntries{Chat: chat, Entries: []ports.UserEntry{e}}
}

func gone(user domain.UserID, version domain.Seq) ports.UserEntry {
	return ports.UserEntry{User: user, Version: version, Gone: true}
}

func testViewVersions(_ *testing.T, v view) {
	user, chat := newUserID(), NewChatID()
	v.expect("log", user, nil)
	v.put("log", chat)
	v.put("log", chat, entry(user, 3, 7))
	v.put("log", chat, entry(user, 3, 8), entry(user, 2, 9), entry(user, 1, 10))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 7})
	v.put("log", chat, entry(user, 10, 0))
	v.put("log", chat, entry(user, 9, 5))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 0})
	v.put("log", chat, entry(user, 1<<40, 1<<53))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 1 << 53})
}

func testViewGone(_ *testing.T, v view) {
	user, chat := newUserID(), NewChatID()
	v.put("log", chat, gone(user, 4))
	v.put("log", chat, entry(user, 4, 1), entry(user, 3, 1))
	v.expect("log", user, nil)
	v.put("log", chat, entry(user, 5, 2))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 2})
	v.put("log", chat, gone(user, 5), gone(user, 4))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 2})
	v.put("log", chat, gone(user, 6))
	v.put("log", chat, entry(user, 5, 3))
	v.expect("log", user, nil)
}

func testViewRebuild(_ *testing.T, v view) {
	user, chat, other := newUserID(), NewChatID(), NewChatID()
	rebuilt := func(e ports.UserEntry, epoch uint64) ports.UserEntry {
		e.Rebuild = epoch
		return e
	}
	const epoch = 1_764_057_600_000
	v.put("log", chat, entry(user, 9, 1))
	v.put("log", other, entry(user, 9, 1))
	v.put("log", chat, rebuilt(entry(user, 9, 2), epoch))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 2, other: 1})
	v.put("log", chat, rebuilt(entry(user, 4, 3), epoch+1)) // the log has lost later events
	v.expect("log", user, map[domain.ChatID]uint64{chat: 3, other: 1})
	v.put("log", chat, rebuilt(entry(user, 8, 4), epoch), rebuilt(entry(user, 4, 5), epoch+1), entry(user, 4, 6)) // late entries
	v.expect("log", user, map[domain.ChatID]uint64{chat: 3, other: 1})
	v.put("log", chat, entry(user, 5, 7))
	v.put("log", chat, rebuilt(entry(user, 8, 8), epoch), rebuilt(entry(user, 5, 9), epoch+1))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 7, other: 1})
	v.put("log", chat, rebuilt(gone(user, 6), epoch+1), entry(user, 6, 9))
	v.expect("log", user, map[domain.ChatID]uint64{other: 1})
	v.put("log", chat, rebuilt(entry(user, 3, 10), epoch+2))
	v.put("log", chat, gone(user, 3))
	v.expect("log", user, map[domain.ChatID]uint64{chat: 10, other: 1})
}

func testViewApart(_ *testing.T, v view) {
	base := newUserID()
	users := []domain.UserID{base, base + ":", base + "|[]{}^\\`-:%*?\"", "{" + base + "}", "日本" + base}
	chats := []domain.ChatID{NewChatID(), "{a}" + NewChatID(), ":%*" + NewChatID(), "日本" + NewChatID()}
	for i, user := range users {
		for j, chat := range chats {
			v.put("log", chat, entry(user, domain.Seq(1+i), uint64(10*i+j))) //nolint:gosec // indexes
		}
	}
	for i, user := range users {
		want := make(map[domain.ChatID]uint64)
		for j, chat := range chats {
			want[chat] = uint64(10*i + j) //nolint:gosec // indexes
		}
		v.expect("log", user, want)
	}
}

func testViewMany(_ *testing.T, v view) {
	chat, base := NewChatID(), newUserID()
	var entries []ports.UserEntry
	for i := range 300 {
		entries = append(entries, entry(base+domain.UserID(fmt.Sprint("-", i)), 5, uint64(i))) //nolint:gosec // an index
	}
	v.put("log", chat, entries...)
	for i, e := range entries {
		v.expect("log", e.User, map[domain.ChatID]uint64{chat: uint64(i)}) //nolint:gosec // an index
	}
}

func testViewChats(_ *testing.T, v view) {
	base := newUserID()
	chats, want := make([]ports.ChatEntries, 150), make(map[domain.UserID]map[domain.ChatID]uint64)
	for i := range chats {
		c := &chats[i]
		c.Chat = NewChatID()
		for j := range 3 {
			user, number := base+domain.UserID(fmt.Sprint("-", (i+j)%7)), uint64(10*i+j) //nolint:gosec // indexes
			c.Entries = append(c.Entries, entry(user, 5, number), entry(user, 4, 99))
			if want[user] == nil {
				want[user] = make(map[domain.ChatID]uint64)
			}
			want[user][c.Chat] = number
		}
	}
	for range 2 { // the second time changes nothing
		if err := v.Put(v.t.Context(), "log", chats...); err != nil {
			v.t.Fatalf("put: %v", err)
		}
		for user, numbers := range want {
			v.expect("log", user, numbers)
		}
	}
}

func testViewLogs(_ *testing.T, v view) {
	user, a, b := newUserID(), NewChatID(), NewChatID()
	v.put("log", a, entry(user, 50, 1))
	v.put("log", b, entry(user, 50, 2))
	v.expect("other", user, nil)
	v.put("other", a, entry(user, 3, 9))
	v.expect("other", user, map[domain.ChatID]uint64{a: 9})
	v.expect("log", user, nil)
	v.put("other", b, gone(user, 1))
	v.put("other", b, entry(user, 2, 7))
	v.expect("other", user, map[domain.ChatID]uint64{a: 9, b: 7})
}

func testViewConcurrent(t *testing.T, v view) {
	user, chat := newUserID(), NewChatID()
	var errs [48]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = v.Put(t.Context(), "log", one(chat, entry(user, domain.Seq(1+i*7%len(errs)), uint64(i*7%len(errs))))) //nolint:gosec // from 0
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	v.expect("log", user, map[domain.ChatID]uint64{chat: uint64(len(errs) - 1)})
}

func testViewEnded(t *testing.T, v view) {
	user, chat := newUserID(), NewChatID()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Put(ctx, "log", one(chat, entry(user, 1, 1))); err == nil {
		t.Error("put gave no error")
	}
	if _, err := v.Of(ctx, "log", user); err == nil {
		t.Error("of gave no error")
	}
	v.expect("log", user, nil)
}

func testViewRandom(t *testing.T, v view) {
	rapid.Check(t, func(rt *rapid.T) {
		v.t = rt
		users, chats := []domain.UserID{newUserID(), newUserID()}, []domain.ChatID{NewChatID(), NewChatID()}
		type key struct {
			user domain.UserID
			chat domain.ChatID
		}
		owner, kept := make(map[domain.UserID]string), make(map[key]ports.UserEntry)
		for range rapid.IntRange(1, 25).Draw(rt, "puts") {
			log, chat := "log", rapid.SampledFrom(chats).Draw(rt, "chat")
			if rapid.IntRange(0, 9).Draw(rt, "log") == 0 {
				log = "other"
			}
			var entries []ports.UserEntry
			for range rapid.IntRange(0, 3).Draw(rt, "entries") {
				e := ports.UserEntry{User: rapid.SampledFrom(users).Draw(rt, "user"), Version: domain.Seq(rapid.IntRange(1, 9).Draw(rt, "version"))} //nolint:gosec // from 1
				if e.Gone = rapid.Bool().Draw(rt, "gone"); !e.Gone {
					e.Number = rapid.Uint64Range(0, 99).Draw(rt, "number")
				}
				if rapid.IntRange(0, 3).Draw(rt, "rebuild") == 0 {
					e.Rebuild = rapid.Uint64Range(1, 3).Draw(rt, "epoch")
				}
				entries = append(entries, e)
				if owner[e.User] != log {
					owner[e.User] = log
					maps.DeleteFunc(kept, func(k key, _ ports.UserEntry) bool { return k.user == e.User })
				}
				k := key{e.User, chat}
				if e.Rebuild == 0 {
					e.Rebuild = kept[k].Rebuild
				}
				if e.Rebuild > kept[k].Rebuild || e.Rebuild == kept[k].Rebuild && e.Version > kept[k].Version {
					kept[k] = e
				}
			}
			v.put(log, chat, entries...)
		}
		for _, user := range users {
			want := make(map[domain.ChatID]uint64)
			for k, e := range kept {
				if k.user == user && !e.Gone {
					want[k.chat] = e.Number
				}
			}
			v.expect(owner[user], user, want)
			v.expect("neither", user, nil)
		}
	})
}
