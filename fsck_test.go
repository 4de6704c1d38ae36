package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

// checked returns the contradictions that a check of the log finds.
func checked(t *testing.T, core *chatcore.Core, config chatcore.FsckConfig) (found []chatcore.Contradiction) {
	t.Helper()
	for c, err := range core.Fsck(t.Context(), config) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, c)
	}
	return found
}

func kinds(found []chatcore.Contradiction) string {
	names := make(map[string]struct{})
	for _, c := range found {
		names[c.Kind] = struct{}{}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

// repairable reports whether the damaged data follows from the log.
func repairable(damage string) bool {
	command, key, _ := strings.Cut(damage, " ")
	key, _, _ = strings.Cut(key, " ")
	part := key[strings.LastIndexByte(key, ':')+1:]
	return strings.Trim(part, "0123456789") != "" && (command != "" || part != "id")
}

// TestFsck_FindsAndRepairsEveryDamage damages every key of a log and of its views in every way. Each damage is found. Damaged data that follows from
// the log is repaired: then all answers are the true ones, the keys of the log are as they were, and a second check finds nothing. Other damage is
// named with its consequences, and nothing is invented.
func TestFsck_FindsAndRepairsEveryDamage(t *testing.T) {
	t.Parallel()
	d := newDamaged(t, filled(twoSegments))
	if found := checked(t, d.core, chatcore.FsckConfig{}); len(found) > 0 {
		t.Fatalf("a sound log has %+v", found)
	}
	for _, key := range d.keys(d.t.Context()) {
		if !exemplary(key) || strings.HasSuffix(key, "}:id") {
			continue
		}
		for damage, inflict := range d.damages(key) {
			field := strings.TrimPrefix(damage, "HDEL "+key+" ")
			unmoved := strings.HasPrefix(d.client.HGet(d.t.Context(), key, field).Val(), "0:")
			inflict()
			// Nothing follows from a snapshot, from the index of last messages and their view, from the number of a user's unread counts, or from where a former member's was removed.
			harmless := strings.Contains(damage, "cc:{chat:unread:") && !strings.HasSuffix(damage, ":v  ") || strings.Contains(damage, ":s") && strings.HasPrefix(damage, "DEL ") || // a snapshot is lost
				strings.HasPrefix(damage, "DEL") && strings.HasSuffix(key, ":t") ||
				strings.HasSuffix(key, "}:last") || strings.HasSuffix(key, "}:previews") ||
				strings.HasSuffix(damage, ":x  #p") || // a pad only makes sends faster
				unmoved && strings.HasPrefix(field, " r") // a read mark that no event has moved is missing in a chat of a lower level
			repaired := checked(t, d.core, chatcore.FsckConfig{Repair: true})
			if len(repaired) == 0 && !harmless {
				t.Errorf("%s: nothing is found", damage)
			}
			again := checked(t, d.core, chatcore.FsckConfig{Repair: true})
			if repairable(damage) {
				if len(again) > 0 {
					t.Errorf("%s: a second check finds %+v, the first %+v", damage, again, repaired)
				}
				for query, answer := range d.answers() {
					if answer != d.truth[query] {
						t.Errorf("%s: repaired, %s answers %.200s", damage, query, answer)
					}
				}
				d.same(damage)
			} else if !slices.ContainsFunc(again, func(c chatcore.Contradiction) bool { return c.Lost != "" && c.Repair == "" && !c.Repaired }) {
				t.Errorf("%s: what is lost is not named: %+v", damage, again)
			}
			d.restore()
		}
	}
}

// same compares the log's keys with those before the damage. Snapshots and previews may be gone, and counts of views may have come.
func (d *damaged) same(damage string) {
	d.t.Helper()
	present := d.contents()
	for key, value := range d.sound() {
		if ofLog(key) && !strings.HasSuffix(key, ":s") && !strings.HasSuffix(key, ":v") && !strings.HasSuffix(key, "}:previews") && present[key] != value {
			d.t.Errorf("%s: repaired, %s is\n%.300s, and was\n%.300s", damage, key, present[key], value)
		}
	}
}

// sound gives the contents of all keys before any damage.
func (d *damaged) sound() map[string]string {
	if d.whole == nil {
		present := d.dump()
		d.restore()
		d.whole = d.contents()
		for key := range d.before {
			if present[key] != d.before[key] {
				d.client.Del(d.t.Context(), key)
			}
		}
		for key, value := range present {
			must[string](d.t)(d.client.RestoreReplace(d.t.Context(), key, 0, value).Result())
		}
	}
	return d.whole
}

// contents returns the values of the log's keys, in an order that does not depend on their history.
func (d *damaged) contents() map[string]string {
	ctx, keys := d.t.Context(), d.keys(d.t.Context())
	types := make([]*goredis.StatusCmd, len(keys))
	d.pipelined(func(p goredis.Pipeliner) {
		for i, key := range keys {
			types[i] = p.Type(ctx, key)
		}
	})
	elements := make([]func() []string, len(keys))
	d.pipelined(func(p goredis.Pipeliner) {
		for i, key := range keys {
			switch types[i].Val() {
			case "list":
				elements[i] = p.LRange(ctx, key, 0, -1).Val
			case "set":
				members := p.SMembers(ctx, key)
				elements[i] = func() []string { return slices.Sorted(slices.Values(members.Val())) }
			case "zset":
				elements[i] = p.ZRange(ctx, key, 0, -1).Val
			case "hash":
				fields := p.HGetAll(ctx, key)
				elements[i] = func() []string { return fieldsOf(fields.Val()) }
			case "string":
				value := p.Get(ctx, key)
				elements[i] = func() []string { return []string{value.Val()} }
			default: // streams are not compared
				elements[i] = func() []string { return nil }
			}
		}
	})
	all := make(map[string]string)
	for i, key := range keys {
		all[key] = fmt.Sprintf("%q", elements[i]())
	}
	return all
}

// fieldsOf returns the fields of a hash, without the fingerprints of commands, which are in no event.
func fieldsOf(hash map[string]string) (fields []string) {
	for field, value := range hash {
		if strings.HasPrefix(field, " k") {
			value = value[:strings.LastIndexByte(value, ':')]
		}
		fields = append(fields, field+"="+value)
	}
	slices.Sort(fields)
	return fields
}

// TestFsck_KindsOfContradictions makes each kind of contradiction that is no loss, and has it repaired.
func TestFsck_KindsOfContradictions(t *testing.T) {
	t.Parallel()
	d := newDamaged(t, filled(100))
	const base = "cc:{message-delivery-stream}:"
	c := d.client
	last := func(ctx context.Context, chat string) string {
		return must[string](t)(c.LIndex(ctx, base+chat+":0", -1).Result())
	}
	for name, test := range map[string]struct {
		kind   string
		damage func(ctx context.Context)
		keeps  bool // its additions to streams or groups stay
	}{
		"an index behind the log":    {kind: "index", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:x", "m1", "3") }},
		"an index ahead of the log":  {kind: "index", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:x", "m1", "99999") }},
		"an index of nothing":        {kind: "index", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:x", "phantom", "5") }},
		"an unreadable index":        {kind: "index", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:x", " uben", "x") }},
		"an unreadable head":         {kind: "head", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:x", " ", "x") }},
		"a wrong ordinal":            {kind: "head", damage: func(ctx context.Context) { c.HSet(ctx, base+"small:x", " ", "3:7") }},
		"a link to elsewhere":        {kind: "link", damage: func(ctx context.Context) { c.LSet(ctx, base+"small:0", -1, "r1"+last(ctx, "small")) }},
		"a member that never was":    {kind: "members", damage: func(ctx context.Context) { c.HSet(ctx, base+"small:u", "eve", "") }},
		"a tombstone of nothing":     {kind: "tombstones", damage: func(ctx context.Context) { c.ZAdd(ctx, base+"small:d", goredis.Z{Score: 2, Member: "2"}) }},
		"a wrong count":              {kind: "count", damage: func(ctx context.Context) { c.HSet(ctx, base+"small:x", " #u", "9") }},
		"a wrong count of chats":     {kind: "chat_count", damage: func(ctx context.Context) { c.Set(ctx, base+"count", "9", 0) }},
		"a wrong snapshot":           {kind: "snapshot", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:s", "= xm0", "{}") }},
		"a snapshot of nothing":      {kind: "snapshot", damage: func(ctx context.Context) { c.HSet(ctx, base+"big:s", " xm1", "5", "= xm1", "{}") }},
		"an append that was cut off": {kind: "cut_off", damage: func(ctx context.Context) { d.cutOff(ctx, "small", 3) }},
		"a chat that was begun":      {kind: "chat_unlisted head members", damage: func(ctx context.Context) { d.begun(ctx) }, keeps: true},
		"an entry of nothing":        {kind: "phantom", damage: func(ctx context.Context) { d.phantom(ctx, "small", "9", "{}") }},
		"an entry of another event":  {kind: "phantom", damage: func(ctx context.Context) { d.phantom(ctx, "small", "2", "{}") }},
		"a group without state":      {kind: "group_state", damage: func(ctx context.Context) { c.Del(ctx, base+"g:state:"+chatcore.BuiltinGroup) }},
		"a group that is not listed": {kind: "group_unlisted", damage: func(ctx context.Context) {
			c.SRem(ctx, base+"groups", chatcore.BuiltinGroup)
		}},
		"a checkpoint beyond the end":    {kind: "checkpoint", damage: func(ctx context.Context) { c.HSet(ctx, base+"g:chats:"+chatcore.BuiltinGroup, "small", "9") }},
		"a checkpoint that is missing":   {kind: "undelivered", damage: func(ctx context.Context) { c.HDel(ctx, base+"g:chats:"+chatcore.BuiltinGroup, "small") }},
		"a checkpoint behind":            {kind: "undelivered", damage: func(ctx context.Context) { c.HSet(ctx, base+"g:chats:"+chatcore.BuiltinGroup, "small", "2") }},
		"a chat parked for nothing":      {kind: "parked", damage: func(ctx context.Context) { c.HSet(ctx, base+"g:left:"+chatcore.BuiltinGroup, "small", "parked") }},
		"a dead letter of nothing":       {kind: "letter", damage: func(ctx context.Context) { d.letter(ctx, "small", "9", "x") }},
		"a dead letter of another event": {kind: "letter", damage: func(ctx context.Context) { d.letter(ctx, "small", "2", "x") }},
		"a repetition of nothing":        {kind: "letter", damage: func(ctx context.Context) { c.HSet(ctx, base+"g:again:"+chatcore.BuiltinGroup, "5-0", "1") }},
		"a chat that a user was never in": {kind: "user_chats", damage: func(ctx context.Context) {
			c.HSet(ctx, "cc:user-chats:dan", "small", "1")
			c.HSet(ctx, "cc:{cc:user-chats:dan}:v", "small", "1", " #", "2")
		}},
		"a user's chats of the future": {kind: "user_chats", damage: func(ctx context.Context) { c.HSet(ctx, "cc:{cc:user-chats:ben}:v", "small", "999") }},
		"a block that nobody set": {kind: "user_blocks", damage: func(ctx context.Context) {
			c.HSet(ctx, "cc:user-blocks:ben", "small", "1")
			c.HSet(ctx, "cc:{cc:user-blocks:ben}:v", "small", "1", " #", "1")
		}},
		"a favourite that nobody chose": {kind: "user_favourites", damage: func(ctx context.Context) {
			c.HSet(ctx, "cc:user-favourites:ben", "small", "1")
			c.HSet(ctx, "cc:{cc:user-favourites:ben}:v", "small", "1", " #", "1")
		}},
		"a chat that nobody has hidden": {kind: "user_hidden", damage: func(ctx context.Context) {
			c.HSet(ctx, "cc:user-hidden:ben", "small", "1")
			c.HSet(ctx, "cc:{cc:user-hidden:ben}:v", "small", "1", " #", "1")
		}},
		"another preview": {kind: "chat_preview", damage: func(ctx context.Context) {
			c.HSet(ctx, base+"previews", "small", strings.Replace(c.HGet(ctx, base+"previews", "small").Val(), "only", "other", 1))
		}},
		"a wrong unread count": {kind: "unread", damage: func(ctx context.Context) { c.HSet(ctx, "chat:unread:ben", "big", "12345") }},
		"a foreign value":      {kind: "foreign", damage: func(ctx context.Context) { c.Set(ctx, base+"small:u", "x", 0) }, keeps: true},
	} {
		test.damage(t.Context())
		found := checked(t, d.core, chatcore.FsckConfig{})
		if got := kinds(found); !strings.Contains(" "+got+" ", " "+strings.Fields(test.kind)[0]+" ") {
			t.Errorf("%s: found %q, want %q: %+v", name, got, test.kind, found)
		}
		for _, c := range found {
			if c.Repair == "" && c.Lost == "" || c.What == "" || c.Repaired {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if test.kind != "foreign" {
			checked(t, d.core, chatcore.FsckConfig{Repair: true})
			if again := checked(t, d.core, chatcore.FsckConfig{}); len(again) > 0 {
				t.Errorf("%s: after the repair there is %+v", name, again)
			}
		}
		if !test.keeps {
			if name != "an append that was cut off" {
				for query, answer := range d.answers() {
					if answer != d.truth[query] {
						t.Errorf("%s: repaired, %s answers %.200s", name, query, answer)
					}
				}
			}
		}
		d.restore()
	}
}

// cutOff removes the last writes of an append of a chat's last events: the index and the stream's entries, not the log's.
func (d *damaged) cutOff(ctx context.Context, chat domain.ChatID, n int) {
	d.t.Helper()
	before := d.dump() //nolint:contextcheck // the context of the test
	for i := range n {
		must[app.Sent](d.t)(d.core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ben", Content: fmt.Sprint("cut off ", i)}))
	}
	for key, value := range before {
		if !strings.HasSuffix(key, ":"+string(chat)+":0") {
			must[string](d.t)(d.client.RestoreReplace(ctx, key, 0, value).Result())
		}
	}
}

// begun leaves only the events of a new chat.
func (d *damaged) begun(ctx context.Context) {
	d.t.Helper()
	must[app.Done](d.t)(d.core.Chats.Create(ctx, domain.Create{Chat: "begun", Actor: "ada"}))
	const base = "cc:{message-delivery-stream}:"
	d.client.Del(ctx, base+"begun:x", base+"begun:u")
	d.client.SRem(ctx, base+"chats", "begun")
	d.client.Decr(ctx, base+"count")
}

func (d *damaged) phantom(ctx context.Context, chat, seq, payload string) {
	d.client.XAdd(ctx, &goredis.XAddArgs{Stream: "message-delivery-stream", Values: []any{
		"_watermill_message_uuid", "x", "metadata", "", "payload", payload, "chat", chat, "seq", seq,
	}})
}

func (d *damaged) letter(ctx context.Context, chat, seq, uuid string) {
	d.client.XAdd(ctx, &goredis.XAddArgs{Stream: "cc:{message-delivery-stream}:g:dead:" + chatcore.BuiltinGroup, Values: []any{
		"reason", "r", "attempts", "5", "_watermill_message_uuid", uuid, "metadata", "", "payload", "{}", "chat", chat, "seq", seq,
	}})
}

// TestFsck_RepairedChatsGoOn repairs a chat, and all that was blocked continues: commands, and the groups that run meanwhile.
func TestFsck_RepairedChatsGoOn(t *testing.T) {
	d := newDamaged(t, filled(20))
	ctx := t.Context()
	d.cutOff(ctx, "small", 2)
	if _, err := d.core.Chats.Send(ctx, domain.Send{Chat: "small", Actor: "ben", Content: "x"}); err == nil {
		t.Fatal("a chat whose last append was cut off takes a message")
	}
	d.client.HDel(ctx, "cc:{message-delivery-stream}:g:chats:"+chatcore.BuiltinGroup, "left")
	d.client.Del(ctx, "cc:{message-delivery-stream}:big:x")
	running := opened(t)(chatcore.New(ctx, d.config))
	if err := running.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	handled := make(chan domain.Seq, 64)
	err := running.Subscribe("mine", chatcore.FromBeginning(), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		if d.ID.Chat == "small" {
			handled <- d.ID.Seq
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	start(t, running)
	checked(t, d.core, chatcore.FsckConfig{Repair: true})
	sent := must[app.Sent](t)(d.core.Chats.Send(ctx, domain.Send{Chat: "small", Actor: "ben", Content: "after"}))
	for want := sent.Seq - 3; want <= sent.Seq; want++ {
		if got := receive(t, handled); got != want {
			t.Fatalf("seq %d was delivered, want %d", got, want)
		}
	}
	d.settle(running)
	if found := checked(t, d.core, chatcore.FsckConfig{}); len(found) > 0 {
		t.Errorf("after all there is %+v", found)
	}
	// The record of a command under its id went with the index. It is not carried out again.
	again := domain.Create{Chat: "big", Actor: "ada", Title: "big", Members: []domain.UserID{"ben", "cyd", "dan"}, Command: "make"}
	if _, err := d.core.Chats.Create(ctx, again); !errors.Is(err, domain.ErrCommandReused) {
		t.Errorf("the command given again: %v", err)
	}
}

// TestFsck_LeavesNewerEvents checks a chat with an event of a newer program: its consequences are not known, so that nothing is repaired.
func TestFsck_LeavesNewerEvents(t *testing.T) {
	d := newDamaged(t, filled(20))
	ctx := t.Context()
	const key = "cc:{message-delivery-stream}:small:0"
	entry := must[string](t)(d.client.LIndex(ctx, key, -1).Result())
	links, _, _ := strings.Cut(entry, "{")
	json, err := wireformat.CompactJSON("small", domain.Seq(d.client.LLen(ctx, key).Val()), entry[len(links):]) //nolint:gosec // a length
	if err != nil {
		t.Fatal(err)
	}
	newer := links + strings.Replace(string(json), `"message:new"`, `"message:poll"`, 1)
	if newer == entry {
		t.Fatal(entry)
	}
	if err := d.client.LSet(ctx, key, -1, newer).Err(); err != nil {
		t.Fatal(err)
	}
	if err := d.client.Del(ctx, "message-delivery-stream").Err(); err != nil {
		t.Fatal(err)
	}
	before := d.contents()
	if found := checked(t, d.core, chatcore.FsckConfig{Repair: true}); kinds(found) != "newer" {
		t.Errorf("found %+v", found)
	}
	if after := d.contents(); !maps.Equal(after, before) {
		t.Error("something was changed")
	}
}

// TestFsck_BesideWriters finds nothing in a sound log that several writers and all built-in groups change meanwhile.
func TestFsck_BesideWriters(t *testing.T) {
	t.Parallel()
	d := newDamaged(t, filled(200))
	running := opened(t)(chatcore.New(t.Context(), d.config))
	if err := running.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	start(t, running)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7)) //nolint:gosec // a test's
			pace := time.NewTicker(2 * time.Millisecond)  // events written meanwhile must be checked in the end
			defer pace.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				<-pace.C
				chat := domain.ChatID(fmt.Sprint("w", w, "-", random.IntN(5)))
				id := domain.MessageID(fmt.Sprint("x", w, "-", i))
				_, _ = running.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada", Members: []domain.UserID{"ben"}})
				_, _ = running.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: id, Content: "x"})
				_, _ = running.Chats.React(ctx, domain.React{Chat: "big", Actor: "ben", MessageID: "m0", Emoji: string(rune(0x1F600 + random.IntN(40)))})
				_, _ = running.Chats.Send(ctx, domain.Send{Chat: "big", Actor: "dan", MessageID: id, Content: "x"})
				switch random.IntN(4) {
				case 0:
					_, _ = running.Chats.Delete(ctx, domain.Delete{Chat: chat, Actor: "ada", MessageID: id})
				case 1:
					user := domain.UserID(fmt.Sprint("u", random.IntN(20)))
					_, _ = running.Chats.Add(ctx, domain.Add{Chat: chat, Actor: "ada", User: user})
				case 2:
					user := domain.UserID(fmt.Sprint("u", random.IntN(20)))
					_, _ = running.Chats.Remove(ctx, domain.Remove{Chat: chat, Actor: "ada", User: user})
				}
			}
		})
	}
	for range 3 {
		if found := checked(t, running, chatcore.FsckConfig{Repair: true}); len(found) > 0 {
			t.Errorf("found %+v", found)
		}
	}
	stop()
	writers.Wait()
	d.settle(running)
	if found := checked(t, running, chatcore.FsckConfig{}); len(found) > 0 {
		t.Errorf("at the end: %+v", found)
	}
}

// TestFsck_RandomLogs damages random logs in several ways at once and repairs them: the answers are the true ones again.
func TestFsck_RandomLogs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 11)) //nolint:gosec // a test's
		d := newDamaged(t, func(t *testing.T, core *chatcore.Core) {
			fillChats(t, core, 5+random.IntN(30))
			randomChats(t, core, random)
		})
		for round := range 6 {
			var damages []string
			for range 1 + random.IntN(7) {
				keys := slices.DeleteFunc(d.keys(d.t.Context()), func(key string) bool { return !ofLog(key) || !repairable("DEL "+key) || strings.HasSuffix(key, "}:id") })
				ways := d.damages(keys[random.IntN(len(keys))])
				names := slices.Sorted(maps.Keys(ways))
				damage := names[random.IntN(len(names))]
				damages = append(damages, damage)
				ways[damage]()
			}
			first := checked(t, d.core, chatcore.FsckConfig{Repair: true})
			if again := checked(t, d.core, chatcore.FsckConfig{}); len(again) > 0 {
				t.Errorf("seed %d, round %d, %q: a second check finds %+v, the first %+v", seed, round, damages, again, first)
			}
			for query, answer := range d.answers() {
				if answer != d.truth[query] {
					t.Errorf("seed %d, round %d, %q: repaired, %s answers %.300s, want %.300s", seed, round, damages, query, answer, d.truth[query])
				}
			}
			d.restore()
		}
	}
}

// randomChats has random users do random things in some chats. Refusals are as good as anything.
func randomChats(t *testing.T, core *chatcore.Core, random *rand.Rand) {
	t.Helper()
	ctx := t.Context()
	pick := func(prefix string, n int) string { return fmt.Sprint(prefix, random.IntN(n)) }
	for range 300 {
		chat, by, other := domain.ChatID(pick("chat:%", 4)), domain.UserID(pick("user ", 5)[:4]+pick("", 5)), domain.UserID(pick("user", 6))
		message := domain.MessageID(pick("m", 40))
		switch random.IntN(10) {
		case 0:
			_, _ = core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: by, Members: []domain.UserID{other}})
		case 1:
			_, _ = core.Chats.Add(ctx, domain.Add{Chat: chat, Actor: by, User: other, Command: domain.CommandID(pick("c", 1000))})
		case 2:
			_, _ = core.Chats.Remove(ctx, domain.Remove{Chat: chat, Actor: by, User: other})
		case 3:
			_, _ = core.Chats.Promote(ctx, domain.Promote{Chat: chat, Actor: by, User: other, Role: domain.RoleOwner})
		case 4:
			_, _ = core.Chats.Delete(ctx, domain.Delete{Chat: chat, Actor: by, MessageID: message})
		case 5:
			_, _ = core.Chats.React(ctx, domain.React{Chat: chat, Actor: by, MessageID: message, Emoji: "👍"})
		case 6:
			_, _ = core.Chats.Edit(ctx, domain.Edit{Chat: chat, Actor: by, MessageID: message, Content: pick("text ", 100)})
		default:
			_, _ = core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: by, MessageID: message, Content: pick("text ", 100)})
		}
	}
}
