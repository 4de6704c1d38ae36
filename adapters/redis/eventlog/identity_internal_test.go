package eventlog

import (
	"testing"

	"chatcore/adapters/redis/keyspace"
)

// TestLogIdentity_Golden fixes the values of id keys: programs of every version compare them.
func TestLogIdentity_Golden(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	renamed := keyspace.Names{Stream: "events", Session: "s=;:", Typing: "typing:", Channels: map[string]string{"message:new": "m", "chat:update": ""}}
	for value, i := range map[string]logIdentity{
		id:                       {id: id, level: 1},
		id + ";2;16;fnv1a-64;":   {id: id, level: 2, partitions: 16, hash: keyspace.HashName, names: keyspace.Names{}.Text()},
		id + ";3;1024;fnv1a-64;": {id: id, level: 3, partitions: 1024, hash: keyspace.HashName, names: keyspace.Names{}.WithDefaults().Text()},
		id + ";2;1;fnv1a-64;Channels/message:new=m Session=s=;: Stream=events": {id: id, level: 2, partitions: 1, hash: keyspace.HashName, names: renamed.Text()},
	} {
		if i.String() != value {
			t.Errorf("%+v is %q, not %q", i, i, value)
		}
		if parsed, ok := parseIdentity(value, 3); !ok || parsed != i {
			t.Errorf("%q reads as %+v, %t", value, parsed, ok)
		}
	}
	if names, err := keyspace.NamesOf(renamed.Text()); err != nil || names.Text() != renamed.Text() || names.Session != renamed.Session {
		t.Errorf("%+v: %v", names, err)
	}
	if i, ok := parseIdentity(id+";9;whatever comes", 2); !ok || i.id != id || i.level != 9 {
		t.Errorf("a level that is not known reads as %+v, %t", i, ok)
	}
	for _, value := range []string{"", ";", ";2;16;h;", id + ";", id + ";1;16;h;", id + ";x;16;h;", id + ";2", id + ";2;16;h", id + ";2;none;h;", id + ";2;0;h;"} {
		if i, ok := parseIdentity(value, 2); ok {
			t.Errorf("%q reads as %+v", value, i)
		}
	}
}
