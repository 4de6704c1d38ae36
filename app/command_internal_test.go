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
		if len(s.entities) != n+1 || s.entities[n].Entity != domain.CommandEntity("ada", "k") {
			t.Fatalf("%d entities fill %d", n, len(s.entities))
		}
		for i, e := range entities {
			if s.entity(e) != &s.entities[i] || s.entities[i].Expect != (i == 0) {
				t.Errorf("%d entities: that at %d is %v", n, i, s.entities[i].Entity)
			}
		}
		entities = append(entities, domain.MemberEntity(domain.UserID(fmt.Sprint("user-", n))))
	}
}
