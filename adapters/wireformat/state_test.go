package wireformat_test

import (
	"reflect"
	"testing"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// TestState_RoundTrip encodes and decodes the states of small entities. A snapshot is of its own kind alone.
func TestState_RoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 5e6, time.UTC)
	states := map[domain.Entity]domain.State{
		domain.MetadataEntity(): &domain.Metadata{Values: map[string]domain.JSON{"topic": `"x"`}},
		domain.PinsEntity():     &domain.Pins{List: []domain.Pinned{{Message: "m", Sent: 3, By: "ada", At: at}, {Message: "n", Sent: 2, By: "ben", At: at}}},
		domain.SettingsEntity("ada"): &domain.Settings{
			Version: 9, Notify: domain.NotifyNone, MutedUntil: at, Favourite: true, Hidden: domain.HiddenUntilMessage, HiddenSeq: 8, UnreadSeq: 4, UnreadAt: 7,
		},
	}
	for e, state := range states {
		raw, err := wireformat.EncodeState(state)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wireformat.DecodeState("c", e, raw); err != nil || !reflect.DeepEqual(got, state) {
			t.Errorf("%s: %+v, error %v, want %+v", e, got, err, state)
		}
		for other := range states {
			if _, err := wireformat.DecodeState("c", other, raw); err == nil && other != e {
				t.Errorf("the state of %s is read as that of %s", e, other)
			}
		}
	}
}
