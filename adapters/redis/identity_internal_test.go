package redis

import (
	"reflect"
	"strings"
	"testing"
)

// TestLogIdentity_Golden fixes the values of id keys: programs of every version compare them.
func TestLogIdentity_Golden(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	renamed := Names{Stream: "events", Session: "s=;:", Typing: "typing:", Channels: map[string]string{"message:new": "m", "chat:update": ""}}
	for value, i := range map[string]logIdentity{
		id:                       {id: id, level: 1},
		id + ";2;16;fnv1a-64;":   {id: id, level: 2, partitions: 16, hash: hashName, names: Names{}.text()},
		id + ";3;1024;fnv1a-64;": {id: id, level: 3, partitions: 1024, hash: hashName, names: spelledOut().text()},
		id + ";2;1;fnv1a-64;Channels/message:new=m Session=s=;: Stream=events": {id: id, level: 2, partitions: 1, hash: hashName, names: renamed.text()},
	} {
		if i.String() != value {
			t.Errorf("%+v is %q, not %q", i, i, value)
		}
		if parsed, ok := parseIdentity(value, 3); !ok || parsed != i {
			t.Errorf("%q reads as %+v, %t", value, parsed, ok)
		}
	}
	if names, err := namesOf(renamed.text()); err != nil || names.text() != renamed.text() || names.Session != renamed.Session {
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

// spelledOut returns names with all defaults set.
func spelledOut() Names { return Names{}.WithDefaults() }

// TestNames_Identified fails if a new field of Names is missing from the identity.
func TestNames_Identified(t *testing.T) {
	var n Names
	fields := make(map[string]bool)
	for _, f := range n.identified() {
		fields[f.name] = f.byDefault != ""
	}
	for i := range reflect.TypeFor[Names]().NumField() {
		if name := reflect.TypeFor[Names]().Field(i).Name; name != strings.TrimSuffix(channelPrefix, "/") && !fields[name] {
			t.Errorf("%s is not part of the identity", name)
		}
	}
}

// TestFirstTags checks that the tag of every log's first partition is among those that elsewhere searches.
func TestFirstTags(t *testing.T) {
	found := make(map[string]bool)
	for _, tag := range firstTags() {
		found[tag] = true
	}
	for partitions := 2; partitions <= MaxPartitions; partitions++ {
		if tag := tags(partitions)[0]; !found[tag] {
			t.Errorf("tag %s of %d partitions is missing", tag, partitions)
		}
	}
	if len(found) > 64 {
		t.Errorf("%d tags are looked for", len(found))
	}
}
