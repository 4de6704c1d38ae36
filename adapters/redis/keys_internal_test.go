package redis

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
		k, err := NewKeys(namespace, partitions, cluster)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	plain, spaced, one, cluster := keys("", 16, false), keys("acme", 16, false), keys("", 1, false), keys("", 16, true)
	marker := func(k Keys, on string) string {
		name, ok := k.marker(on, "push:1", "ID")
		if !ok {
			t.Errorf("no marker on %q", on)
		}
		return name
	}
	cached := func(k Keys, prefix, id string, object bool) string {
		return strings.Join(k.cached(ports.CacheKey{Prefix: prefix, ID: id, Object: object}), " ")
	}
	tag, user := plain.tags[plain.Partition("room-1")], plain.tags[plain.Partition("user-789")]
	for want, got := range map[string]string{
		"cc:log":                                            plain.log(),
		"acme:cc:log":                                       spaced.log(),
		"cc:{" + tag + "}:room-1:x":                         plain.chat("room-1", "x"),
		"acme:cc:{" + tag + "}:room-1:0":                    spaced.chat("room-1", "0"),
		"cc:{18}:id":                                        plain.id(0),
		"cc:{18}:chats":                                     plain.chats(0),
		"cc:{18}:last":                                      plain.last(0),
		"cc:{18}:confirm":                                   plain.confirm(0),
		"message-delivery-stream:{18}":                      plain.stream(0),
		"acme:message-delivery-stream:{18}":                 spaced.stream(0),
		"message-delivery-stream":                           one.stream(0),
		"cc:{message-delivery-stream}:id":                   one.id(0),
		"typing:room-1:user-789":                            plain.typing("room-1", "user-789"),
		"typing:a%3Ab:%2A%7Bx%7D":                           plain.typing("a:b", "*{x}"),
		"typing:{" + tag + "}:room-1:user-789":              cluster.typing("room-1", "user-789"),
		"user:status:user-789":                              plain.status("user-789"),
		"acme:user:online:":                                 spaced.online(),
		"presence:user-789":                                 plain.presence("user-789"),
		"cc:presence:user-789":                              plain.record("user-789"),
		"cc:presence-due":                                   plain.due(0),
		"acme:cc:presence-sweeper":                          spaced.sweeper(),
		"acme:cc:{acme:user:online:}:added":                 spaced.added(),
		"user:status:{" + user + "}:user-789":               cluster.status("user-789"),
		"presence:{" + user + "}:user-789":                  cluster.presence("user-789"),
		"cc:presence:{" + user + "}:user-789":               cluster.record("user-789"),
		"cc:presence-due:{" + user + "}":                    cluster.due(cluster.shard("user-789")),
		"acme:message:new":                                  spaced.Channel("message:new"),
		"cc:once:{badges:ada}:push%3A1:ID":                  marker(plain, "badges:ada"),
		"acme:cc:once:{ada}:push%3A1:ID":                    marker(spaced, "badges:{ada}:x"),
		"cc:once:{ID}:push%3A1:ID":                          marker(plain, ""),
		"chat:unread:user-789":                              plain.unread("user-789"),
		"acme:chat:unread:%7Ba%7D":                          spaced.unread("{a}"),
		"cc:{chat:unread:user-789}:v":                       plain.versions(plain.unread("user-789")),
		"acme:cc:{acme:chat:unread:u}:v":                    spaced.versions(spaced.unread("u")),
		"cc:user-chats:user-789":                            plain.userChats("user-789"),
		"acme:session:a b*":                                 spaced.of("session:a b*"),
		"acme:cc:{acme:cc:user-chats:u}:v":                  spaced.versions(spaced.userChats("u")),
		"message:m-1 cc:{message:m-1}:l cc:{message:m-1}:f": cached(plain, "message:", "m-1", true),
		"acme:contact:list:%7Bu%7D acme:cc:{acme:contact:list:%7Bu%7D}:l acme:cc:{acme:contact:list:%7Bu%7D}:f acme:cc:{acme:contact:list:%7Bu%7D}:m": cached(spaced, "contact:list:", "{u}", false),
		"cc:{" + tag + "}:room-1:t":    plain.typists("room-1"),
		"ratelimit:login:ada":          plain.rateLimit([]string{"login", "ada"}),
		"acme:ratelimit:a%3Ab:%7Bx%7D": spaced.rateLimit([]string{"a:b", "{x}"}),
		"acme:cc:gcra:send:ada":        spaced.gcra([]string{"send", "ada"}),
		"session:user-789:HASH":        plain.session("user-789", "HASH"),
		"acme:session:a%3A%2A:HASH":    spaced.session("a:*", "HASH"),
		"session:{a%7Bb%7D}:HASH":      cluster.session("a{b}", "HASH"),
		"cc:sessions:user-789":         plain.sessions("user-789"),
		"cc:sessions:{user-789}":       cluster.sessions("user-789"),
		"acme:session:TOKEN":           spaced.guideSession("TOKEN"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if streams := plain.Partitions(); len(streams) != 17 || streams[16].Stream != "message-delivery-stream" || streams[16].Partition >= 0 {
		t.Errorf("partitions %+v", streams)
	}
	if streams := one.Partitions(); len(streams) != 1 {
		t.Errorf("partitions of one partition %+v", streams)
	}
}

func TestNamesCanBeOthers(t *testing.T) {
	k, err := Names{Stream: "deliveries", Typing: "types-", UserOnline: "here", Message: "msg:", Channels: map[string]string{"message:new": "new-message"}}.Keys("acme", 2, false)
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"acme:deliveries:{" + k.tags[1] + "}": k.stream(1),
		"acme:types-room:ada":                 k.typing("room", "ada"),
		"acme:here":                           k.online(),
		"acme:msg:m":                          k.cachedValue(ports.CacheKey{Prefix: k.names.Message, ID: "m"}),
		"acme:chat:list:ada":                  k.cachedValue(ports.CacheKey{Prefix: k.names.ChatList, ID: "ada"}),
		"acme:new-message":                    k.Channel("message:new"),
		"acme:message:edit":                   k.Channel("message:edit"),
		"acme:poll:created":                   string(k.appendChannel(nil, "poll:created")),
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
		k, err := NewKeys(rapid.SampledFrom([]string{"", "acme"}).Draw(rt, "namespace"), rapid.SampledFrom([]int{1, 2, 16, 100}).Draw(rt, "partitions"), true)
		if err != nil {
			rt.Fatal(err)
		}
		chat := domain.ChatID(rapid.String().Draw(rt, "chat"))
		p := k.Partition(chat)
		want := slot(k.id(p))
		for _, key := range []string{k.chats(p), k.confirm(p), k.stream(p), k.chat(chat, "0"), k.chat(chat, "m"), k.chat(chat, "x"), k.typing(chat, "{u}"), k.typists(chat)} {
			if slot(key) != want {
				rt.Fatalf("%q is in slot %d, %q in %d", key, slot(key), k.id(p), want)
			}
		}
		user := domain.UserID(chat)
		for _, key := range []string{k.presence(user), k.status(user), k.due(k.shard(user))} {
			if slot(key) != slot(k.record(user)) {
				rt.Fatalf("%q is in slot %d, %q in %d", key, slot(key), k.record(user), slot(k.record(user)))
			}
		}
		if slot(k.added()) != slot(k.online()) {
			rt.Fatalf("%q is in slot %d, %q in %d", k.added(), slot(k.added()), k.online(), slot(k.online()))
		}
		for _, key := range []string{k.unread(domain.UserID(chat)), k.userChats(domain.UserID(chat))} {
			if beside := k.versions(key); slot(beside) != slot(key) {
				rt.Fatalf("%q is in slot %d, %q in %d", beside, slot(beside), key, slot(key))
			}
		}
		beside := k.cached(ports.CacheKey{Prefix: "badge:", ID: string(chat)})
		for _, key := range beside {
			if slot(key) != slot(beside[0]) {
				rt.Fatalf("%q is in slot %d, %q in %d", key, slot(key), beside[0], slot(beside[0]))
			}
		}
		if user := domain.UserID(chat); user != "" && slot(k.session(user, "h")) != slot(k.sessions(user)) {
			rt.Fatalf("%q and %q are in two slots", k.session(user, "h"), k.sessions(user))
		}
		on := rapid.StringMatching(`[a{}b]{1,6}`).Draw(rt, "on")
		if marker, ok := k.marker(on, "name", "id"); ok && slot(marker) != slot(on) || int(slot(on)) != slotOf(on) {
			rt.Fatalf("%q is in slot %d (%d here), %q in %d", on, slot(on), slotOf(on), marker, slot(marker))
		}
	})
}

func TestEscapingKeepsNamesApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := rapid.String().Draw(rt, "a"), rapid.String().Draw(rt, "b")
		if (escape(a) == escape(b)) != (a == b) {
			rt.Fatalf("%q and %q become %q and %q", a, b, escape(a), escape(b))
		}
		if strings.ContainsAny(escape(a), ":{}*?[]\\ \n\t") {
			rt.Fatalf("%q becomes %q", a, escape(a))
		}
	})
}

func TestAnOldRedisIsRefused(t *testing.T) {
	s := server{version: version{6, 2}}
	if err := s.newEnough(minVersion()); !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), "6.2") || !strings.Contains(err.Error(), "7.0") {
		t.Errorf("6.2: %v", err)
	}
	for _, v := range []version{{7, 0}, {7, 4}, {8, 0}} {
		if err := (server{version: v}).newEnough(minVersion()); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}
