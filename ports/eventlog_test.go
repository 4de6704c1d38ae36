package ports_test

import (
	"errors"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// TestAppend_CheckOfKinds takes every kind there is, and refuses the others without a panic.
func TestAppend_CheckOfKinds(t *testing.T) {
	check := func(moves ...domain.Entity) error {
		return ports.Append{Chat: "c", Events: []ports.NewEvent{{Event: domain.MessageNew{Chat: "c"}, Moves: moves}}}.Check()
	}
	var all []domain.Entity
	for kind := domain.KindChat; kind <= domain.Kinds; kind++ {
		if kind == domain.KindCommand { // no event moves one
			continue
		}
		all = append(all, domain.Entity{Kind: kind, ID: "x"})
		if err := check(all[len(all)-1], all[len(all)-1]); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("kind %d twice: %v", kind, err)
		}
	}
	if err := check(all...); err != nil {
		t.Error(err)
	}
	for _, kind := range []domain.EntityKind{0, domain.Kinds + 1, 64, 255} {
		if err := check(domain.Entity{Kind: kind}); kind > domain.Kinds && !errors.Is(err, domain.ErrInvalid) || kind == 0 && err == nil {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}
