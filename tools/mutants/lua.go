package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// focus names the tests that run a script, by directory and script. A script that is not here meets all tests of its package.
var focus = map[string]map[string]string{
	"adapters/redis": {
		"append":           "TestEventLogInOnePartition|TestForeignValuesUnderOurKeysLeaveNothingHalfWritten|TestForeignValuesWhereOurKeysWouldBe|TestASendingThatArrivesLateDoesNothing|TestLateCommand|TestLostReplies_Commands",
		"load":             "TestEventLogInOnePartition|TestAHotMessageIsLoadedInOneStep|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted",
		"read":             "TestEventLogInOnePartition",
		"chat":             "TestEventLogInOnePartition",
		"backlog":          "TestEventLogInOnePartition",
		"heads":            "TestEventLogInOnePartition|TestCompareHeads_FindsChatsBeyondTheirCheckpoints",
		"snapshot":         "TestEventLogInOnePartition|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted|TestSnapshot.*",
		"confirm":          "TestEventLogInOnePartition|TestHistory_.*|TestLostReplies_.*",
		"witness":          "TestHistory_.*|TestEventLogInOnePartition",
		"identify":         "TestOpen_.*|TestLevels_.*",
		"raise":            "TestUpgrade_.*|TestLevels_.*",
		"probe":            "TestProbe_.*|TestRights_.*",
		"typing":           "TestTypingMarks.*",
		"typing_list":      "TestTypingMarks.*",
		"limit":            "TestLimiter|TestOtherProgramsCountOnTheSameKey|TestForeignValuesWhereALimitWouldBe|TestWhatGCRALeavesIsNotRoundedDown",
		"limits":           "TestLimiter|TestLimitsTogether.*|TestOtherProgramsCountOnTheSameKey|TestForeignValuesWhereALimitWouldBe",
		"once":             "TestEffects|TestAnEffectIsForgottenAfterItsTime|TestEveryCommandOfAnEffect|TestCommandsThatMightFailHalfWayAreRefused|TestWhatAKeyHoldsIsFollowedThroughAnEffect|TestAnEffectWhoseAnswerWasLostIsThereOnce",
		"view":             "TestUserViews|TestUnreadCountsAreAsTheWireContractSays|TestAForeignValueWhereAUsersNumbersWouldBe",
		"presence":         "TestPresence|TestPresenceIsAsTheWireContractSays|TestPresenceOverRandomHistories|TestForeignValuesUnderPresenceKeys|TestForeignValuesHoldUpNobodyElse|TestPresence_.*",
		"presence_ends":    "TestPresence|TestPresence_.*|TestForeignValuesUnderPresenceKeys",
		"due":              "TestPresence|TestForeignValuesHoldUpNobodyElse|TestEntriesAreRenewedBeforeTheyAreDue",
		"lead":             "TestPresence",
		"cache_lease":      "TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"cache_put":        "TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"cache_invalidate": "TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"session_open":     "TestSessions.*|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"session_use":      "TestSessions.*|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession|TestAUseThatIsNotNotedWritesNothing|TestNoRecordOutlivesItsSession",
		"session_list":     "TestSessions.*|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"session_close":    "TestSessions.*|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"count":            "TestStore|TestAStores.*",
	},
	"adapters/pubsub": {
		"acquire": "TestLanesAreReleasedAtOnce|TestEpochsGrowAndRedeliveriesAreTold|TestClockSetBack_.*|TestMiddlewares_LeaseExpires|TestLanesAreShared",
		"beat":    "TestLanesAreShared|TestClockSetBack_.*|TestForgetRemovesAGroup",
		"release": "TestLanesAreReleasedAtOnce|TestEpochsGrowAndRedeliveriesAreTold",
		"commit":  "TestDeadLetterAndCheckpointAreOneStep|TestFailuresAreTriedAgainAndThenSetAside|TestFinishedDeliveriesStayFinished|TestWhatAFrozenOwnerFinishesChangesNothing|TestDeadLetterBound_.*|TestAttemptsAreCountedOverProcessesAndRestarts|TestAParkedChatWaitsForADecision",
		"settle":  "TestAParkedChatWaitsForADecision|TestARetryThatFailsParksAgain|TestLettersAreGivenAgainOnce|TestALetterOfAChatThatWentOn|TestManyChatsAreParkedAndRetried",
		"trim":    "TestTrimmingTakesOnlyWhatAllHavePassed|TestAnAbandonedGroupDoesNotHoldTheStream|TestAGroupThatIsMovedWhileItRuns|TestOtherConsumerGroupsHoldTheStream|TestStreamBound_.*",
		"create":  "TestForgetRemovesAGroup|TestFromTheBeginningWhileEventsGoOn|TestRebuildBeginsAgain",
		"lay":     "TestForgetRemovesAGroup|TestWhatIsPublishedRightAfterSubscribe|TestFromTheBeginningWhileEventsGoOn",
		"rebuild": "TestRebuildBeginsAgain",
	},
}

// lua runs the mutants of a package's scripts. The package has each in a variable: name.lua in nameSource.
func (r *runner) lua(name string, b *build) error {
	scripts, err := filepath.Glob(filepath.Join(b.dir, "script", "*.lua"))
	if err != nil {
		return err
	}
	for _, file := range scripts {
		if !r.only.MatchString(filepath.Base(file)) {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		b.mutants = append(b.mutants, luaMutants(name+"/script/"+filepath.Base(file), string(src))...)
	}
	if err := r.compileLua(b); err != nil {
		return err
	}
	all, err := b.tests()
	if err != nil {
		return err
	}
	passed := map[string]bool{}
	for _, m := range b.mutants {
		if tests := b.focused(name, m, all); !passed[strings.Join(tests, "|")] {
			if message, err := r.test(b, tests); err != nil {
				return fmt.Errorf("%v fail without a mutant: %w\n%s", tests, err, message)
			}
			passed[strings.Join(tests, "|")] = true
		}
	}
	r.each(name+"/script", b.mutants, func(n int) string {
		m := b.mutants[n]
		text := filepath.Join(b.temp, fmt.Sprintf("mutant%d.lua", n))
		if err := os.WriteFile(text, []byte(m.script), 0o600); err != nil {
			return err.Error()
		}
		if r.killed(b, b.focused(name, m, all), "CHATCORE_MUTANT_SCRIPT="+m.base(), "CHATCORE_MUTANT_TEXT="+text) {
			return ""
		}
		return "survives"
	})
	return nil
}

// base is the name of the script without its directory and ending.
func (m mutant) base() string { return strings.TrimSuffix(filepath.Base(m.file), ".lua") }

func (b *build) focused(name string, m mutant, all []string) (tests []string) {
	pattern, ok := focus[name][m.base()]
	if !ok {
		return all
	}
	match := regexp.MustCompile("^(" + pattern + ")$")
	for _, t := range all {
		if match.MatchString(t) {
			tests = append(tests, t)
		}
	}
	return tests
}

const replacing = `package %s

import "os"

func init() {
	switch os.Getenv("CHATCORE_MUTANT_SCRIPT") {
%s	}
}

func mutantText() string {
	text, err := os.ReadFile(os.Getenv("CHATCORE_MUTANT_TEXT"))
	if err != nil { panic(err) }
	return string(text)
}
`

var embedded = regexp.MustCompile(`//go:embed script/(\w+)\.lua\s+(\w+) string`)

// compileLua builds the package's tests with a file that replaces one script.
func (r *runner) compileLua(b *build) error {
	src, err := os.ReadFile(filepath.Join(b.dir, "script.go"))
	if err != nil {
		return err
	}
	var cases strings.Builder
	for _, m := range embedded.FindAllStringSubmatch(string(src), -1) {
		fmt.Fprintf(&cases, "\tcase %q:\n\t\t%s = mutantText()\n", m[1], m[2])
	}
	overlay := map[string]string{}
	if err := b.replace(overlay, filepath.Join(b.dir, "zz_mutants.go"), fmt.Appendf(nil, replacing, packageName(src), cases.String())); err != nil {
		return err
	}
	message, err := b.compile(overlay)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, message)
	}
	return nil
}
