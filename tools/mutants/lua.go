package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// focus names the tests that run a script, by directory and script. A script without an entry meets all tests of its package.
var focus = map[string]map[string]string{
	"adapters/redis": {
		"append":           "TestScripts_RefuseOtherData|TestAppendScript_.*|TestLostRepliesAreAskedForAgain|TestEventLogInOnePartition|TestForeignValuesUnderOurKeysLeaveNothingHalfWritten|TestForeignValuesWhereOurKeysWouldBe|TestASendingThatArrivesLateDoesNothing|TestLateCommand|TestLostReplies_Commands|TestContentIsNoEarlierSending|TestALogThatVanishedTakesNothing|TestIndexIsAHashTableFrom128EventsOn|TestAppendsThatWaitTogetherGoTogether|TestAnAppendOfAnotherEpochIsNotSent|TestTakes_.*|TestAppend_FailsClosedWithoutInfo",
		"take":             "TestTakes_.*|TestForeignValuesWhereALimitWouldBe|TestEventLogInOnePartition",
		"unread":           "TestEventLogInOnePartition",
		"search":           "TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost",
		"last":             "TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost",
		"load":             "TestEventLogInOnePartition|TestAHotMessageIsLoadedInOneStep|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted",
		"read":             "TestEventLogInOnePartition",
		"chat":             "TestEventLogInOnePartition",
		"backlog":          "TestEventLogInOnePartition",
		"heads":            "TestEventLogInOnePartition|TestCompareHeads_FindsChatsBeyondTheirCheckpoints",
		"snapshot":         "TestScripts_RefuseOtherData|TestEventLogInOnePartition|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted|TestSnapshot_Versions",
		"activity":         "TestActivityIndex.*",
		"confirm":          "TestScripts_RefuseOtherData|TestEventLogInOnePartition|TestHistory_.*|TestLostReplies_.*",
		"witness":          "TestScripts_RefuseOtherData|TestHistory_.*|TestEventLogInOnePartition",
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

// lua runs the mutants of a package's scripts. The test binary embeds the scripts unchanged, so a mutant is a copy of the binary with another text in
// the script's place.
func (r *runner) lua(name string, b *build) error {
	scripts, err := filepath.Glob(filepath.Join(b.dir, "script", "*.lua"))
	if err != nil {
		return err
	}
	originals := map[string][]byte{}
	for _, file := range scripts {
		if !r.only.MatchString(filepath.Base(file)) {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		found := luaMutants(name+"/script/"+filepath.Base(file), string(src))
		b.mutants = append(b.mutants, found...)
		for _, m := range found {
			originals[m.file] = src
		}
	}
	if r.binary != "" {
		b.binary = r.binary
	} else if message, err := b.compile(nil); err != nil {
		return fmt.Errorf("%w\n%s", err, message)
	}
	binary, err := os.ReadFile(b.binary)
	if err != nil {
		return err
	}
	all, err := b.tests()
	if err != nil {
		return err
	}
	took, err := r.durations(b, name, all)
	if err != nil {
		return err
	}
	r.each(name+"/script", b.mutants, func(n int) string {
		m := b.mutants[n]
		text := luaWithoutComments(m.script)
		original := originals[m.file]
		if !bytes.Contains(binary, original) || len(text) > len(original) {
			return "not tried: the binary has no room for it"
		}
		changed := &build{dir: b.dir, binary: filepath.Join(b.temp, fmt.Sprintf("mutant%d.test", n))}
		text += strings.Repeat(" ", len(original)-len(text))
		if err := os.WriteFile(changed.binary, bytes.ReplaceAll(binary, original, []byte(text)), 0o700); err != nil { //nolint:gosec // it is executed
			return err.Error()
		}
		defer os.Remove(changed.binary)
		return r.meets(changed, b.focused(name, m, all), took)
	})
	return nil
}

// durations runs each test that some mutant meets once without a mutant and returns how long it takes.
func (r *runner) durations(b *build, name string, all []string) (map[string]time.Duration, error) {
	took := map[string]time.Duration{}
	for _, m := range b.mutants {
		for _, t := range b.focused(name, m, all) {
			if took[t] > 0 {
				continue
			}
			start := time.Now()
			if message, err := r.test(b, r.limit, []string{t}); err != nil {
				return nil, fmt.Errorf("%s fails without a mutant: %w\n%s", t, err, message)
			}
			took[t] = time.Since(start)
		}
	}
	return took, nil
}

// base returns the name of the script without its directory and ending.
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
