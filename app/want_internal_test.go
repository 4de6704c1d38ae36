package app

import (
	"fmt"
	"testing"

	"chatcore/domain"
)

// TestWant_AnyNumber sees that no entity is dropped, however many a command needs.
func TestWant_AnyNumber(t *testing.T) {
	var entities []domain.Entity
	for n := range 20 {
		s := newState(&command{chat: "c", wants: want(entities...), by: "ada", id: "k", expect: domain.MemberEntity("user-0")})
		if len(s.slots) != n+1 || s.slots[n].entity != domain.CommandEntity("ada", "k") {
			t.Fatalf("%d entities take %d slots", n, len(s.slots))
		}
		for i, e := range entities {
			if s.slot(e) != &s.slots[i] || s.slots[i].expect != (i == 0) {
				t.Errorf("%d entities: that at %d is %v", n, i, s.slots[i].entity)
			}
		}
		entities = append(entities, domain.MemberEntity(domain.UserID(fmt.Sprint("user-", n))))
	}
}
