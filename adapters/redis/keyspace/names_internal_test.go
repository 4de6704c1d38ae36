package keyspace

import (
	"reflect"
	"strings"
	"testing"
)

// SpelledOut returns names with all defaults set.
func SpelledOut() Names { return Names{}.WithDefaults() }

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
