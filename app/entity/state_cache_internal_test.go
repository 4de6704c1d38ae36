package entity

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// resident returns the contents of a cache, without the epochs.
func (c *stateCache) resident() map[entityKey]cachedState {
	all := make(map[entityKey]cachedState)
	for i := range c.shards {
		maps.Copy(all, c.shards[i].entries)
	}
	return all
}

// TestStateCache_Model compares a cache with a model over random steps: an entry is the newest that was put since the last clear, old versions and
// states of another epoch change nothing, the bytes in use are those of the entries, and no more entries are dropped than room is needed.
func TestStateCache_Model(t *testing.T) {
	const size = 64 << 10
	rapid.Check(t, func(t *rapid.T) {
		c := newStateCache(size)
		key := func() entityKey {
			return entityKey{"c", domain.MessageEntity(domain.MessageID(fmt.Sprint("m", rapid.IntRange(0, 150).Draw(t, "key"))))}
		}
		var hits, misses uint64
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			before, used := c.resident(), c.used.Load()
			k := key()
			old, there := before[k]
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				c.drop(k)
				delete(before, k)
			case 1:
				if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
					c.clear()
					clear(before)
				}
			case 2:
				seq := domain.Seq(rapid.Uint64Range(1, 6).Draw(t, "moved"))
				c.noteMove(k, seq)
				if there {
					old.moved = max(old.moved, seq)
					before[k] = old
				}
			case 3:
				known := Versioned{Version: domain.Seq(rapid.Uint64Range(0, 5).Draw(t, "known")), State: &domain.Message{}, Epoch: c.now()}
				if rapid.IntRange(0, 4).Draw(t, "known in another epoch") == 0 {
					known.Epoch--
				}
				got, want, moved := known, known, domain.Seq(0)
				if there && known.Epoch == c.now() {
					if moved = max(old.version, old.moved); old.version > known.Version {
						want.Version, want.State = old.version, old.state
					}
				}
				if seq := c.newer(k, &got); seq != moved || got.Version != want.Version || got.State != want.State {
					t.Fatalf("newer returned seq %d and %+v, want %d and %+v; the cache has %+v, %t", seq, got, moved, want, old, there)
				}
			case 4:
				got := Versioned{Epoch: c.now()}
				if hit := c.get(k, &got); hit != there || got.Version != old.version || got.State != old.state || got.sent != old.sent {
					t.Fatalf("got %+v, %t; the cache has %+v, %t", got, hit, old, there)
				}
				if there {
					hits++
				} else {
					misses++
				}
			default:
				room := rapid.SampledFrom([]int{0, 300, 2000, size/4 - int(sizeOf(k, &domain.Message{})), size / 4}).Draw(t, "content")
				s := Versioned{
					Entity: k.entity, Version: domain.Seq(rapid.Uint64Range(1, 5).Draw(t, "version")),
					State: &domain.Message{Content: domain.Content(strings.Repeat("x", room))}, Epoch: c.now(),
				}
				if rapid.IntRange(0, 9).Draw(t, "other epoch") == 0 {
					s.Epoch--
				}
				bytes, sent := sizeOf(k, s.State), (*ports.Record)(nil)
				if s.Records = make([]ports.Record, rapid.IntRange(0, 2).Draw(t, "events")); len(s.Records) == 1 {
					bytes, sent = bytes+sentBytes, &s.Records[0]
				}
				c.put(k, s)
				switch {
				case s.Epoch != c.now(), there && old.version >= s.Version:
				case bytes > size/4:
					delete(before, k)
				case used-old.bytes+bytes > size:
					before[k] = cachedState{s.Version, s.State, bytes, s.Epoch, old.moved, sent}
					checkShrunk(t, c, before, size)
					before = c.resident()
				default:
					before[k] = cachedState{s.Version, s.State, bytes, s.Epoch, old.moved, sent}
				}
			}
			if now := c.resident(); !maps.Equal(now, before) {
				t.Fatalf("the cache has %d entries, want %d", len(now), len(before))
			}
			if got, want := c.used.Load(), bytesOf(c.resident()); got != want || got > size {
				t.Fatalf("%d bytes are in use, the entries have %d, the size is %d", got, want, size)
			}
		}
		if got := c.stats(); got.Hits != hits || got.Misses != misses {
			t.Fatalf("counted were %+v, want %d hits and %d misses", got, hits, misses)
		}
	})
}

func bytesOf(entries map[entityKey]cachedState) (bytes int64) {
	for _, e := range entries {
		bytes += e.bytes
	}
	return bytes
}

// checkShrunk compares the contents of a cache with those of an unbounded one.
func checkShrunk(t *rapid.T, c *stateCache, unbounded map[entityKey]cachedState, size int64) {
	now := c.resident()
	var largest int64
	for k, e := range unbounded {
		switch got, there := now[k]; {
		case !there:
			largest = max(largest, e.bytes)
		case got != e:
			t.Fatalf("%v is %+v, want %+v", k, got, e)
		}
	}
	if bytesOf(now)+largest <= size {
		t.Fatalf("after the largest of the dropped entries, with %d bytes, %d of %d are in use", largest, bytesOf(now), size)
	}
}

// TestStateCache_Sizes checks that the size of an entry covers its texts and lists.
func TestStateCache_Sizes(t *testing.T) {
	key := entityKey{"c", domain.ChatEntity()}
	text := strings.Repeat("x", 1000)
	owners := make(map[domain.UserID]struct{})
	reactions := make(map[domain.Reaction]domain.Seq)
	for i := range 20 {
		owners[domain.UserID(fmt.Sprint(i))] = struct{}{}
		reactions[domain.Reaction{User: domain.UserID(fmt.Sprint(i)), Emoji: "👍"}] = 1
	}
	for name, test := range map[string]struct {
		small, large domain.State
		key          entityKey
		more         int64
	}{
		"a title":     {&domain.Chat{}, &domain.Chat{Title: domain.Title(text)}, key, 1000},
		"owners":      {&domain.Chat{}, &domain.Chat{Owners: owners}, key, 20 * 16},
		"a content":   {&domain.Message{}, &domain.Message{Content: domain.Content(text)}, key, 1000},
		"data":        {&domain.Message{}, &domain.Message{ClientMeta: domain.ClientMeta(text)}, key, 1000},
		"mentions":    {&domain.Message{}, &domain.Message{Mentions: make([]domain.UserID, 20)}, key, 20 * 16},
		"attachments": {&domain.Message{}, &domain.Message{Attachments: make([]domain.Attachment, 20)}, key, 20 * 64},
		"reactions":   {domain.ReactionsOf(nil), domain.ReactionsOf(reactions), key, 20 * 40},
		"ids":         {&domain.ReadMark{}, &domain.ReadMark{}, entityKey{domain.ChatID(text), domain.MessageEntity(domain.MessageID(text))}, 1900},
	} {
		small, large := sizeOf(key, test.small), sizeOf(test.key, test.large)
		if large-small < test.more || small <= 0 {
			t.Errorf("%s: %d bytes, and %d without; want %d more", name, large, small, test.more)
		}
	}
}

// TestStateCache_ClearBegun has a cache that begins to be cleared and still holds the state of the epoch before. Entities of the new epoch must not get it.
func TestStateCache_ClearBegun(t *testing.T) {
	c := newStateCache(1 << 20)
	key := entityKey{"c", domain.MessageEntity("m")}
	c.put(key, Versioned{Entity: key.entity, Version: 7, State: &domain.Message{}})
	c.epoch.Add(1) // what clear does first
	fresh := Versioned{Entity: key.entity, Epoch: c.now()}
	if c.get(key, &fresh) || fresh.State != nil {
		t.Errorf("get returned %+v, of the epoch before", fresh)
	}
	if moved := c.newer(key, &fresh); moved != 0 || fresh.State != nil {
		t.Errorf("newer returned seq %d and %+v, of the epoch before", moved, fresh)
	}
}
