package app

import (
	"strconv"
	"testing"
	"time"

	"chatcore/domain"
)

// TestStartsOfManyAreHeldBackInABoundedRoom has more users type than there is room for; those that are dropped are held back by the store.
func TestStartsOfManyAreHeldBackInABoundedRoom(t *testing.T) {
	typists, at := newTypists(), time.Now()
	held := 0
	for i := range 10 * typists.room {
		who := domain.Typing{Chat: "c", Actor: domain.UserID(strconv.Itoa(i))}
		if s, err := typists.enter(who, at); s == nil || err != nil {
			t.Fatalf("the first start of %q is held back: %v", who.Actor, err)
		}
		if s, _ := typists.enter(who, at); s == nil {
			held++
		}
	}
	if n := len(typists.now) + len(typists.old); n > 2*typists.room || held != 10*typists.room {
		t.Errorf("%d are remembered, %d were held back", n, held)
	}
	for i := range 3 { // they go with the time, also where nobody new comes
		if s, _ := typists.enter(domain.Typing{Chat: "c", Actor: "last"}, at.Add(time.Duration(i+1)*domain.TypingInterval)); s == nil {
			t.Error("the start is held back after its time")
		}
	}
	if n := len(typists.now) + len(typists.old); n > 2 {
		t.Errorf("%d are remembered after their time", n)
	}
}
