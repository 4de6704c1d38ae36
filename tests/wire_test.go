package tests

import (
	"os/exec"
	"testing"
)

func TestGeneratedWiringIsFresh(t *testing.T) {
	diff := exec.CommandContext(t.Context(), "go", "tool", "wire", "diff", ".")
	diff.Dir = ".."
	if out, err := diff.CombinedOutput(); err != nil {
		t.Errorf("wire_gen.go is not what the providers give; run make generate\n%v\n%s", err, out)
	}
}
