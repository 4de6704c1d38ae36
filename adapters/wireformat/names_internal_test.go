package wireformat

import (
	"testing"

	"chatcore/domain"
)

// TestNames_AreThoseOfTheDomain compares the names of enumerated values in JSON with their String methods.
func TestNames_AreThoseOfTheDomain(t *testing.T) {
	const bound = 16
	for i := range uint8(bound) {
		for what, names := range map[string][2]string{
			"status": {statusName(domain.Status(i)), domain.Status(i).String()},
			"action": {actionName(domain.ReactionAction(i)), domain.ReactionAction(i).String()},
			"change": {changeName(domain.Change(i)), domain.Change(i).String()},
			"role":   {roleName(domain.Role(i)), domain.Role(i).String()},
		} {
			if names[0] != "" && names[0] != names[1] {
				t.Errorf("%s %d is %q in JSON and %q in the domain", what, i, names[0], names[1])
			}
		}
	}
	for kind := domain.KindChat; kind <= domain.Kinds; kind++ {
		if name := kind.String(); len(name) < len("chat") {
			t.Errorf("kind %d has the name %q", uint8(kind), name)
		}
	}
}
