package keyspace

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"chatcore/domain"
	"chatcore/ports"
)

// FuzzEscape escapes any two texts: they stay distinct, contain no special characters of keys and patterns, and can be unescaped.
func FuzzEscape(f *testing.F) {
	for _, seed := range [][2]string{{"", ""}, {"room-1", "user-789"}, {"a:b", "a%3Ab"}, {"%", "%25"}, {"\xff", "\ufffd"}, {"\u2028", "ü 🍅"}, {"a+b", "a b"}, {`{}*?[]\`, "\x00\x7f"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []string{a, b} {
			escaped := Escape(s)
			if back, err := url.PathUnescape(escaped); err != nil || back != s {
				t.Errorf("%q becomes %q, and %q again, error %v", s, escaped, back, err)
			}
			if strings.ContainsAny(escaped, ":{}*?[]\\ \n\r\t\x00\x7f") || !utf8.ValidString(escaped) {
				t.Errorf("%q becomes %q", s, escaped)
			}
			if appended := string(AppendEscaped([]byte("x"), s)); appended != "x"+escaped {
				t.Errorf("%q becomes %q as a whole and %q as a part", s, escaped, appended)
			}
		}
		if (Escape(a) == Escape(b)) != (a == b) {
			t.Errorf("%q and %q become %q and %q", a, b, Escape(a), Escape(b))
		}
		if joined([]string{a, b}) != Escape(a)+":"+Escape(b) {
			t.Errorf("%q and %q are joined to %q", a, b, joined([]string{a, b}))
		}
	})
}

// FuzzReserved checks that every key of an event log and of chatcore's own records is reserved, in the namespace of the keys, in none and in any
// other one.
func FuzzReserved(f *testing.F) {
	f.Add("", "", 1, false, "room-1", "ada")
	f.Add("acme", "", 2, true, "a:b", "{x}")
	f.Add("", "acme:eu", 16, false, "cc:", "*")
	f.Add("a:b", "c", 100, true, "%", "\xff")
	f.Fuzz(func(t *testing.T, namespace, other string, partitions int, cluster bool, chat, name string) {
		k, err := New(namespace, partitions, cluster)
		if err != nil {
			return
		}
		asked, err := New(other, 1, false)
		if err != nil {
			return
		}
		for _, key := range ownKeys(k, domain.ChatID(chat), name) {
			if !k.Custom().Reserved(key) || !asked.Custom().Reserved(key) {
				t.Errorf("%q is not reserved under %q and %q: %t, %t", key, namespace, other, k.Custom().Reserved(key), asked.Custom().Reserved(key))
			}
		}
	})
}

// ownKeys returns keys that only chatcore uses.
func ownKeys(k Keys, chat domain.ChatID, name string) []string {
	p, user, log, presence, views := k.Partition(chat), domain.UserID(name), k.Log(), k.Presence(), k.Views()
	keys := []string{
		log.Record(), log.ID(p), log.Chats(p), log.Count(p), log.Confirm(p), log.Witness(p, "process"), log.Stream(p), log.Chat(chat, "0"), log.Chat(chat, "x"),
		k.Typing().Marks(chat), presence.Record(user), presence.Due(presence.Shard(user)), presence.Sweeper(), presence.Added(),
		k.Limits().gcra([]string{name, string(chat)}), views.UserChats(user), k.Sessions().Index(user), views.Versions(views.Unread(user)), views.Versions(views.UserChats(user)), views.UserBlocks(user),
	}
	keys = append(keys, k.Caches().All(ports.CacheKey{Prefix: "badge:", ID: name})[1:]...)
	for _, on := range []string{"", k.Custom().Of("badges:ada"), k.Custom().Of("badges:" + Escape(name))} {
		if marker, ok := k.Custom().Marker(on, name, "id"); ok {
			keys = append(keys, marker)
		}
	}
	for _, partition := range log.Partitions() {
		keys = append(keys, partition.Stream, partition.Base+"g:chats:"+Escape(name))
	}
	return keys
}
