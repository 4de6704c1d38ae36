package kv_test

import (
	"errors"
	"testing"

	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
)

// TestReserved_Names uses namespaces, names and cache prefixes with which keys of one program would be those of another one's log.
func TestReserved_Names(t *testing.T) {
	for _, name := range []string{"cc", "cc:x", "x:cc", "x:cc:y"} {
		if _, err := keyspace.New(name, 1, false); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("namespace %q: %v", name, err)
		}
		if _, err := (keyspace.Names{Message: name + ":"}).Keys("", 1, false); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
		if err := (keyspace.Names{}).CheckPrefix(name + ":"); err == nil {
			t.Errorf("cache prefix %q is allowed", name+":")
		}
	}
	for _, name := range []string{"acme", "ccx", "x:ccx", "xcc"} {
		if _, err := keyspace.New(name, 1, false); err != nil {
			t.Errorf("namespace %q: %v", name, err)
		}
		if err := (keyspace.Names{}).CheckPrefix(name + ":"); err != nil {
			t.Errorf("cache prefix %q: %v", name+":", err)
		}
	}
}
