package live_test

import (
	"slices"
	"testing"

	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
	"chatcore/tests/redistest"
)

// TestLive_UnderTheLeastRights runs the main paths again on servers whose user has the required commands and no others.
func TestLive_UnderTheLeastRights(t *testing.T) {
	keys, err := keyspace.New("", 1, true)
	if err != nil {
		t.Fatal(err)
	}
	commands := slices.DeleteFunc(health.LogRights(keys).Rules(false), func(rule string) bool { return rule[0] != '+' })
	redistest.RunUnderACL(t, append([]string{"~*", "&*"}, commands...),
		"TestWhatIsPublishedAfterSubscribeArrives", "TestTailSuite", "TestTailSuite_Cluster", "TestTail_HoleIsRead")
}
