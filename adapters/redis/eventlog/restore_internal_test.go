package eventlog

import (
	"errors"
	"fmt"
	"testing"

	"chatcore/adapters/redis/keyspace"
	"chatcore/ports"
)

// TestRestore_OlderPrograms has programs that know nothing of restores see a log that is being written: those of each level refuse it, and do not write the ids.
func TestRestore_OlderPrograms(t *testing.T) {
	keys, err := keyspace.New("", 2, false)
	if err != nil {
		t.Fatal(err)
	}
	r := &Restore{keys: keys.Log(), identity: logIdentity{id: "log", level: Level, partitions: 2, hash: keyspace.HashName}, held: restoringPrefix + "token"}
	fields := make(map[string]string)
	for all := r.record(); len(all) > 0; all = all[2:] {
		fields[fmt.Sprint(all[0])] = fmt.Sprint(all[1])
	}
	if fields["ready"] != "1" {
		t.Error("a program would write the missing ids")
	}
	for name, values := range map[string][]string{"all ids": {r.held, r.held}, "no ids yet": {"", ""}, "one id": {r.held, ""}, "at the end": {r.identity.String(), r.held}} {
		for known := bareLevel; known <= Level; known++ {
			l := &Log{keys: keys.Log(), known: known}
			_, _, err := agreed(values, known)
			if known < Level && name == "at the end" {
				if !errors.Is(err, ports.ErrLogLost) {
					t.Errorf("%s, level %d: %v", name, known, err)
				}
				continue
			}
			if err = l.explained(err, sight{values, recordOf(fields)}); !errors.Is(err, ports.ErrNewerLog) {
				t.Errorf("%s, level %d: %v", name, known, err)
			}
		}
	}
	if _, ok := parseIdentity(r.held, Level); ok {
		t.Error("the value of the id keys is an identity")
	}
}
