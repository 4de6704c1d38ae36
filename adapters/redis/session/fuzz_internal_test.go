package session

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"chatcore/domain"
)

// FuzzSessionRecord parses any records and fields of sessions. A parsed session has the requested user and id, and a valid device. The fast parser
// yields the same as encoding/json.
func FuzzSessionRecord(f *testing.F) {
	const field = "HASH 1 1700000000000 1700000003600 1700000000000 60000"
	f.Add("ada", "id", `{"_cc":{"id":"id"},"userId":"ada","deviceId":"phone","createdAt":1,"expiresAt":2}`, field)
	f.Add("ada", "id", `{"_cc":{"id":"id"},"userId":"ada","deviceName":"\n"}`, "HASH 1 1 1 1 9223372036854775807")
	f.Add("ada", "id", `{"userId":"ada","deviceId":5}`, "  ")
	f.Add("ben", "id", `{"_cc":{"id":"id"},"userId":"ada"}`, field+" ")
	f.Add("ada", "", `{"_cc":null,"userId":"ada"}`, "-1 -1 -1 -1 -1 -1")
	f.Fuzz(func(t *testing.T, user, id, record, field string) {
		if r, ok := plainSessionRecord(record); ok {
			var want sessionRecord
			if err := json.Unmarshal([]byte(record), &want); err != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("%q is read as %+v, as JSON %+v, error %v", record, r, want, err)
			}
		}
		if s, _, ok := parseSession(domain.UserID(user), record, id, field); ok {
			if s.User != domain.UserID(user) || s.ID != domain.SessionID(id) || s.Idle < 0 || s.Device.Check() != nil || s.OpenedAt.Before(time.UnixMilli(0)) {
				t.Errorf("%q and %q are read as %+v", record, field, s)
			}
		}
		if s, ok := foreignSession(record); ok {
			if _, err := domain.ParseUserID(string(s.User)); err != nil || s.Device.Check() != nil {
				t.Errorf("%q is read as %+v", record, s)
			}
		}
		if sessions := several(domain.UserID(user), []any{record, id, field, nil, 1, record, field}); len(sessions) > 1 {
			t.Errorf("one session is read as %+v", sessions)
		}
	})
}
