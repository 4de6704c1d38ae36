package pubsub_test

import (
	"slices"
	"testing"

	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
	"chatcore/tests/redistest"
)

// TestGroups_UnderTheLeastRights runs the main paths again on servers whose user has the required commands and no others.
func TestGroups_UnderTheLeastRights(t *testing.T) {
	keys, err := keyspace.New("", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	commands := slices.DeleteFunc(health.LogRights(keys).Rules(false), func(rule string) bool { return rule[0] != '+' })
	redistest.RunUnderACL(t, append([]string{"~*", "&*"}, commands...),
		"TestOrderWhileInstancesComeAndGo", "TestAParkedChatWaitsForADecision", "TestFromTheBeginningWhileEventsGoOn", "TestRebuildBeginsAgain",
		"TestLettersAreGivenAgainOnce", "TestDeleteRemovesAGroup", "TestPartitionsAreReleasedAtOnce")
}
