package keyspace

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// TestNames fixes names that other programs and existing logs depend on.
func TestNames(t *testing.T) {
	keys := func(namespace string, partitions int, cluster bool) Keys {
		k, err := New(namespace, partitions, cluster)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	plain, spaced, one, cluster := keys("", 16, false), keys("acme", 16, false), keys("", 1, false), keys("", 16, true)
	marker := func(k Keys, on string) string {
		name, ok := k.Custom().Marker(on, "push:1", "ID")
		if !ok {
			t.Errorf("no marker on %q", on)
		}
		return name
	}
	cached := func(k Keys, prefix, id string, object bool) string {
		return strings.Join(k.Caches().All(ports.CacheKey{Prefix: prefix, ID: id, Object: object}), " ")
	}
	tag, user := plain.tags[plain.Partition("room-1")], plain.tags[plain.Partition("user-789")]
	for want, got := range map[string]string{
		"cc:log":                                            plain.Log().Record(),
		"acme:cc:log":                                       spaced.Log().Record(),
		"cc:{" + tag + "}:room-1:x":                         plain.Log().Chat("room-1", "x"),
		"acme:cc:{" + tag + "}:room-1:0":                    spaced.Log().Chat("room-1", "0"),
		"cc:{18}:id":                                        plain.Log().ID(0),
		"cc:{18}:chats":                                     plain.Log().Chats(0),
		"cc:{18}:last":                                      plain.Log().Last(0),
		"cc:{18}:confirm":                                   plain.Log().Confirm(0),
		"acme:cc:{18}:live":                                 spaced.Log().Live(0),
		"acme:cc:memberships":                               spaced.Views().Memberships(),
		"acme:cc:relay:i":                                   spaced.Relays().Channel("i"),
		"message-delivery-stream:{18}":                      plain.Log().Stream(0),
		"acme:message-delivery-stream:{18}":                 spaced.Log().Stream(0),
		"message-delivery-stream":                           one.Log().Stream(0),
		"cc:{message-delivery-stream}:id":                   one.Log().ID(0),
		"typing:room-1:user-789":                            plain.Typing().Mark("room-1", "user-789"),
		"typing:a%3Ab:%2A%7Bx%7D":                           plain.Typing().Mark("a:b", "*{x}"),
		"typing:{" + tag + "}:room-1:user-789":              cluster.Typing().Mark("room-1", "user-789"),
		"user:status:user-789":                              plain.Presence().Status("user-789"),
		"acme:user:online:":                                 spaced.Presence().Online(),
		"presence:user-789":                                 plain.Presence().Devices("user-789"),
		"cc:presence:user-789":                              plain.Presence().Record("user-789"),
		"cc:presence-due":                                   plain.Presence().Due(0),
		"acme:cc:presence-sweeper":                          spaced.Presence().Sweeper(),
		"acme:cc:{acme:user:online:}:added":                 spaced.Presence().Added(),
		"user:status:{" + user + "}:user-789":               cluster.Presence().Status("user-789"),
		"presence:{" + user + "}:user-789":                  cluster.Presence().Devices("user-789"),
		"cc:presence:{" + user + "}:user-789":               cluster.Presence().Record("user-789"),
		"cc:presence-due:{" + user + "}":                    cluster.Presence().Due(cluster.Presence().Shard("user-789")),
		"acme:message:new":                                  spaced.Channel("message:new"),
		"cc:once:{badges:ada}:push%3A1:ID":                  marker(plain, "badges:ada"),
		"acme:cc:once:{ada}:push%3A1:ID":                    marker(spaced, "badges:{ada}:x"),
		"cc:once:{ID}:push%3A1:ID":                          marker(plain, ""),
		"chat:unread:user-789":                              plain.Views().Unread("user-789"),
		"acme:chat:unread:%7Ba%7D":                          spaced.Views().Unread("{a}"),
		"cc:{chat:unread:user-789}:v":                       plain.Views().Versions(plain.Views().Unread("user-789")),
		"acme:cc:{acme:chat:unread:u}:v":                    spaced.Views().Versions(spaced.Views().Unread("u")),
		"cc:user-chats:user-789":                            plain.Views().UserChats("user-789"),
		"cc:user-blocks:user-789":                           plain.Views().UserBlocks("user-789"),
		"cc:user-favourites:user-789":                       plain.Views().UserFavourites("user-789"),
		"acme:cc:user-hidden:%7Bu%7D":                       spaced.Views().UserHidden("{u}"),
		"cc:{" + tag + "}:previews":                         plain.Log().Previews(plain.Partition("room-1")),
		"acme:session:a b*":                                 spaced.Custom().Of("session:a b*"),
		"acme:cc:{acme:cc:user-chats:u}:v":                  spaced.Views().Versions(spaced.Views().UserChats("u")),
		"message:m-1 cc:{message:m-1}:l cc:{message:m-1}:f": cached(plain, "message:", "m-1", true),
		"acme:contact:list:%7Bu%7D acme:cc:{acme:contact:list:%7Bu%7D}:l acme:cc:{acme:contact:list:%7Bu%7D}:f acme:cc:{acme:contact:list:%7Bu%7D}:m": cached(spaced, "contact:list:", "{u}", false),
		"cc:{" + tag + "}:room-1:t":    plain.Typing().Marks("room-1"),
		"ratelimit:login:ada":          plain.Limits().Window([]string{"login", "ada"}),
		"acme:ratelimit:a%3Ab:%7Bx%7D": spaced.Limits().Window([]string{"a:b", "{x}"}),
		"acme:cc:gcra:send:ada":        spaced.Limits().gcra([]string{"send", "ada"}),
		"cc:{" + tag + "}:holds":       plain.Log().Holds(plain.Log().Partition("room-1")),
		"cc:{" + tag + "}:retention":   plain.Log().Policies(plain.Log().Partition("room-1")),
		"cc:{" + tag + "}:expired":     plain.Log().Expired(plain.Log().Partition("room-1")),
		"cc:feed:t%3Ax":                plain.Feeds().State("t:x"),
		"acme:cc:feed:ABC":             spaced.Feeds().State("ABC"),
		"cc:webhook-failed:h%3Ax":      plain.Webhooks().Failed("h:x"),
		"acme:cc:webhook-ok:h":         spaced.Webhooks().Succeeded("h"),
		"cc:definitions":               plain.Definitions().Key(),
		"acme:cc:definitions":          spaced.Definitions().Key(),
		"session:user-789:HASH":        plain.Sessions().RecordPrefix("user-789") + "HASH",
		"acme:session:a%3A%2A:HASH":    spaced.Sessions().RecordPrefix("a:*") + "HASH",
		"session:{a%7Bb%7D}:HASH":      cluster.Sessions().RecordPrefix("a{b}") + "HASH",
		"cc:sessions:user-789":         plain.Sessions().Index("user-789"),
		"cc:sessions:{user-789}":       cluster.Sessions().Index("user-789"),
		"acme:session:TOKEN":           spaced.Sessions().CompatRecord("TOKEN"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if streams := plain.Log().Partitions(); len(streams) != 17 || streams[16].Stream != "message-delivery-stream" || streams[16].Number >= 0 {
		t.Errorf("partitions %+v", streams)
	}
	if streams := one.Log().Partitions(); len(streams) != 1 {
		t.Errorf("partitions of one partition %+v", streams)
	}
}

func TestNamesCanBeOthers(t *testing.T) {
	k, err := Names{Stream: "deliveries", Typing: "types-", UserOnline: "here", Message: "msg:", Channels: map[string]string{"message:new": "new-message"}}.Keys("acme", 2, false)
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"acme:deliveries:{" + k.tags[1] + "}": k.Log().Stream(1),
		"acme:types-room:ada":                 k.Typing().Mark("room", "ada"),
		"acme:here":                           k.Presence().Online(),
		"acme:msg:m":                          k.Caches().Value(ports.CacheKey{Prefix: k.names.Message, ID: "m"}),
		"acme:chat:list:ada":                  k.Caches().Value(ports.CacheKey{Prefix: k.names.ChatList, ID: "ada"}),
		"acme:new-message":                    k.Channel("message:new"),
		"acme:message:edit":                   k.Channel("message:edit"),
		"acme:poll:created":                   string(k.Log().AppendChannel(nil, "poll:created")),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNamesThatCollideAreRefused(t *testing.T) {
	for what, names := range map[string]Names{
		"a pattern":                       {Session: "s*:"},
		"a tag":                           {Stream: "{s}"},
		"too long":                        {Message: strings.Repeat("m", 65)},
		"one that another begins with":    {Message: "chat:"},
		"the same twice":                  {Typing: "session:"},
		"the log's own":                   {Presence: "cc:presence:"},
		"a channel twice":                 {Channels: map[string]string{"message:new": "message:edit"}},
		"a channel of an unknown type":    {Channels: map[string]string{"message:created": "m"}},
		"a channel that cannot be a name": {Channels: map[string]string{"message:new": "a b"}},
	} {
		var invalid *domain.InvalidError
		if _, err := names.Keys("", 1, false); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTagsAreThoseMeasured(t *testing.T) {
	if got := strings.Join(tags(16), " "); got != "18 3 61 58 19 2 60 59 102 1 63 49 103 0 62 48" {
		t.Errorf("tags %s", got)
	}
}

// slot returns the hash slot of a key, by https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
func slot(key string) uint16 {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for _, b := range []byte(key) {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}

func TestAScriptsKeysShareASlot(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k, err := New(rapid.SampledFrom([]string{"", "acme"}).Draw(rt, "namespace"), rapid.SampledFrom([]int{1, 2, 16, 100}).Draw(rt, "partitions"), true)
		if err != nil {
			rt.Fatal(err)
		}
		chat := domain.ChatID(rapid.String().Draw(rt, "chat"))
		p := k.Partition(chat)
		want := slot(k.Log().ID(p))
		for _, key := range []string{k.Log().Chats(p), k.Log().Confirm(p), k.Log().Stream(p), k.Log().Chat(chat, "0"), k.Log().Chat(chat, "m"), k.Log().Chat(chat, "x"), k.Typing().Mark(chat, "{u}"), k.Typing().Marks(chat)} {
			if slot(key) != want {
				rt.Fatalf("%q is in slot %d, %q in %d", key, slot(key), k.Log().ID(p), want)
			}
		}
		user := domain.UserID(chat)
		for _, key := range []string{k.Presence().Devices(user), k.Presence().Status(user), k.Presence().Due(k.Presence().Shard(user))} {
			if slot(key) != slot(k.Presence().Record(user)) {
				rt.Fatalf("%q is in slot %d, %q in %d", key, slot(key), k.Presence().Record(user), slot(k.Presence().Record(user)))
			}
		}
		if slot(k.Presence().Added()) != slot(k.Presence().Online()) {
			rt.Fatalf("%q is in slot %d, %q in %d", k.Presence().Added(), slot(k.Presence().Added()), k.Presence().Online(), slot(k.Presence().Online()))
		}
		for _, key := range []string{k.Views().Unread(domain.UserID(chat)), k.Views().UserChats(domain.UserID(chat)), k.Views().UserBlocks(domain.UserID(chat)), k.Views().UserFavourites(domain.UserID(chat)), k.Views().UserHidden(domain.UserID(chat))} {
			if beside := k.Views().Versions(key); slot(beside) != slot(key) {
				rt.Fatalf("%q is in slot %d, %q in %d", beside, slot(beside), key, slot(key))
			}
		}
		beside := k.Caches().All(ports.CacheKey{Prefix: "badge:", ID: string(chat)})
		for _, key := range beside {
			if slot(key) != slot(beside[0]) {
				rt.Fatalf("%q is in slot %d, %q in %d", key, slot(key), beside[0], slot(beside[0]))
			}
		}
		if user := domain.UserID(chat); user != "" && slot(k.Sessions().RecordPrefix(user)+"h") != slot(k.Sessions().Index(user)) {
			rt.Fatalf("%q and %q are in two slots", k.Sessions().RecordPrefix(user)+"h", k.Sessions().Index(user))
		}
		on := rapid.StringMatching(`[a{}b]{1,6}`).Draw(rt, "on")
		if marker, ok := k.Custom().Marker(on, "name", "id"); ok && slot(marker) != slot(on) || int(slot(on)) != SlotOf(on) {
			rt.Fatalf("%q is in slot %d (%d here), %q in %d", on, slot(on), SlotOf(on), marker, slot(marker))
		}
	})
}

func TestEscapingKeepsNamesApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := rapid.String().Draw(rt, "a"), rapid.String().Draw(rt, "b")
		if (Escape(a) == Escape(b)) != (a == b) {
			rt.Fatalf("%q and %q become %q and %q", a, b, Escape(a), Escape(b))
		}
		if strings.ContainsAny(Escape(a), ":{}*?[]\\ \n\t") {
			rt.Fatalf("%q becomes %q", a, Escape(a))
		}
	})
}
