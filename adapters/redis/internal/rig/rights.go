package rig

import (
	"os"
	"slices"
	"testing"

	"chatcore/adapters/redis/health"
	"chatcore/tests/redistest"
)

// RunUnderLeastRights runs suites of a package again, on servers whose user has only the required commands. Suites that move the time of a server or
// read its keys need more.
func RunUnderLeastRights(t *testing.T, tests ...string) {
	t.Helper()
	if os.Getenv(redistest.ACL) != "" {
		t.Fatal("this test runs itself")
	}
	redistest.RunUnderACL(t, append([]string{"~*", "&*"}, CommandRules(t)...), tests...)
}

// CommandRules returns the ACL rules that allow the required commands.
func CommandRules(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(health.LogRights(NewKeys(t, 1)).Rules(false), func(rule string) bool { return rule[0] != '+' })
}
