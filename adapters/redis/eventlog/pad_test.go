package eventlog_test

import (
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// encoding returns the encoding of the index of chat c.
func encoding(t *testing.T, client goredis.UniversalClient) (key, encoding string) {
	t.Helper()
	keys := indexKeys(t, client)
	if len(keys) != 1 {
		t.Fatal(keys)
	}
	encoding, err := client.ObjectEncoding(t.Context(), keys[0]).Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys[0], encoding
}

func indexKeys(t *testing.T, client goredis.UniversalClient) []string {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*:c:x").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestIndexIsAHashTableFrom128EventsOn appends single events and batches. The index has far fewer fields than the 512 from which Redis changes the
// encoding by itself.
func TestIndexIsAHashTableFrom128EventsOn(t *testing.T) {
	for _, together := range []int{1, 50} {
		t.Run(fmt.Sprint(together, " together"), func(t *testing.T) {
			client := rig.Connect(t, redistest.Start(t, "--enable-debug-command", "yes").URL())
			log := rig.Open(t, client, rig.NewKeys(t, 1))
			rig.Appended(t, log, rig.Created("c"))
			for events := 1; events < 130; events += together {
				key, now := encoding(t, client)
				if want := map[bool]string{false: "listpack", true: "hashtable"}[events >= 128]; now != want {
					t.Fatalf("after %d events it is a %s", events, now)
				}
				if pad := client.HStrLen(t.Context(), key, " #p").Val(); (pad == 65) != (events >= 128) {
					t.Fatalf("after %d events the pad has %d bytes", events, pad)
				}
				batch := make([]ports.Append, together)
				for i := range batch {
					batch[i] = rig.Sent("c", domain.MessageID(fmt.Sprint("m", events+i)))
				}
				if _, err := log.AppendBatch(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.Do(t.Context(), "DEBUG", "RELOAD").Err(); err != nil {
				t.Fatal(err)
			}
			if _, now := encoding(t, client); now != "hashtable" {
				t.Errorf("after a reload it is a %s", now)
			}
		})
	}
}
