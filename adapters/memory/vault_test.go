package memory

import (
	"testing"

	"chatcore/ports"
	"chatcore/ports/porttest"
)

func TestVault(t *testing.T) {
	porttest.Vault(t, func(*testing.T) ports.Vault { return NewVault() })
}
