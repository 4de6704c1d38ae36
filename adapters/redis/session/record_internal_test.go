package session

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestPlainSessionRecordsAreReadAsJSONIs compares the fast parser with encoding/json, on records of this package and on records changed by other
// programs.
func TestPlainSessionRecordsAreReadAsJSONIs(t *testing.T) {
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.StringMatching(`[a-z0-9.-]{1,12}`), rapid.String())
		written, err := json.Marshal(sessionRecord{
			Own: &sessionOwn{rapid.StringMatching(`[\w-]{1,8}`).Draw(t, "id")}, User: text.Draw(t, "user"), Device: text.Draw(t, "device"), Name: text.Draw(t, "name"),
			UserAgent: text.Draw(t, "agent"), IP: text.Draw(t, "ip"),
		})
		if err != nil {
			t.Fatal(err)
		}
		record := append(written[:len(written)-1], `,"createdAt":1700000000000,"expiresAt":1700000000001}`...)
		if rapid.Bool().Draw(t, "changed") {
			at := rapid.IntRange(0, len(record)-1).Draw(t, "at")
			switch b := rapid.SampledFrom([]byte(`"\\{}:, 0nU`)).Draw(t, "byte"); rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				record[at] = b
			case 1:
				record = record[:at]
			default:
				record = append(record[:at:at], append([]byte{b}, record[at:]...)...)
			}
		}
		got, ok := plainSessionRecord(string(record))
		if !ok {
			return
		}
		plain++
		var want sessionRecord
		if err := json.Unmarshal(record, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %+v, as JSON %+v, error %v", record, got, want, err)
		}
	})
	if plain == 0 {
		t.Error("nothing was read the short way")
	}
}
