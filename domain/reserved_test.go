package domain_test

import (
	"errors"
	"strings"
	"testing"

	"chatcore/domain"
)

func TestReservedChatID(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for id, reserved := range map[domain.ChatID]bool{
		"dm-" + domain.ChatID(hex): true, "dm-" + domain.ChatID(strings.ToUpper(hex)): true,
		"dm-" + domain.ChatID(hex[1:]): false, "dm-" + domain.ChatID(hex) + "0": false, "dm-" + domain.ChatID(hex[1:]) + "g": false,
		"DM-" + domain.ChatID(hex): false, domain.ChatID(hex): false, "dm-ada-ben": false, "xdm-" + domain.ChatID(hex): false, "garden": false,
	} {
		if err := domain.ReservedChatID(id); reserved != errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestKinds sees that every kind of entity has a name, which a kind that was added behind the last one would not have.
func TestKinds(t *testing.T) {
	for kind := domain.KindChat; kind <= domain.Kinds; kind++ {
		if strings.HasPrefix(domain.Entity{Kind: kind, ID: "x"}.String(), "unknown/") {
			t.Errorf("kind %d has no name", kind)
		}
	}
	if name := (domain.Entity{Kind: domain.Kinds + 1}).String(); name != "unknown/" {
		t.Errorf("a kind behind the last one is %s", name)
	}
}
