package eventlog_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
)

// TestCompareHeads_FindsChatsBeyondTheirCheckpoints uses all kinds of ids, and expects no other chats.
func TestCompareHeads_FindsChatsBeyondTheirCheckpoints(t *testing.T) {
	t.Parallel()
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		keys := rig.NewKeys(t, 1)
		log := rig.Open(t, client, keys)
		checkpoints := keys.Log().Partitions()[0].Base + "g:chats:g"
		want := make(map[domain.ChatID]domain.Seq)
		names := []domain.ChatID{`a:b`, `{tag}`, `100%`, `a*b?c[d]\e`, "café", "日本", "-x^$()."}
		for i := range 1200 {
			names = append(names, domain.ChatID(fmt.Sprint("c", i)))
		}
		for i, chat := range names {
			outcomes, err := log.AppendBatch(t.Context(), []ports.Append{rig.Created(chat), rig.Sent(chat, "m")})
			if err != nil {
				t.Fatal(err)
			}
			head := outcomes[1].Appended.Last
			switch i % 3 {
			case 0:
				want[chat] = head
			case 1:
				err = client.HSet(t.Context(), checkpoints, string(chat), uint64(head)-1).Err()
				want[chat] = head
			default:
				err = client.HSet(t.Context(), checkpoints, string(chat), uint64(head)).Err()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := client.Set(t.Context(), keys.Log().Partitions()[0].Base+"odd:x", "no index", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := client.SAdd(t.Context(), keys.Log().Partitions()[0].Base+"chats", "odd", "gone").Err(); err != nil {
			t.Fatal(err)
		}
		got, holes, compared := make(map[domain.ChatID]domain.Seq), make(map[domain.ChatID]error), 0
		for cursor := uint64(0); ; {
			page, err := log.CompareHeads(t.Context(), 0, checkpoints, cursor, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range page.Ahead {
				if h.Err != nil {
					holes[h.Chat] = h.Err
				} else {
					got[h.Chat] = h.Head
				}
			}
			if (page.Err != nil) != (page.Next == 0) { // the set has two chats more than the count
				t.Errorf("the page that ends at %d: %v", page.Next, page.Err)
			}
			if compared += page.Compared; page.Total != len(names)+2 || page.Tail == "" {
				t.Fatalf("page %+v", page)
			}
			if cursor = page.Next; cursor == 0 {
				break
			}
		}
		if !maps.Equal(got, want) || compared < len(names) {
			t.Errorf("%d chats are beyond their checkpoints of %d compared, want %d", len(got), compared, len(want))
		}
		if !errors.Is(holes["odd"], ports.ErrCorrupt) || !errors.Is(holes["gone"], ports.ErrCorrupt) || len(holes) != 2 {
			t.Errorf("without a head are %v", holes)
		}
	})
}
