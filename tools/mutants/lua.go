package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// fsckTests are tests of the root package: the scripts of fsck are tested there, together.
const fsckTests = "TestFsck_KindsOfContradictions|TestFsck_LeavesNewerEvents|TestFsck_RepairedChatsGoOn"

// readTests are tests of what is missing or unreadable where scripts read a chat.
const readTests = "TestCountUnread_Model|TestForeignValuesWhereOurKeysWouldBe|TestAnEntryThatIsNoEventIsNamed|TestALatestReadMarkCostsOneEvent|TestALogThatVanishedTakesNothing|TestMalformedIsNotNewer|TestAPageOfAListCostsWhatItShows|TestReads_.*"

// focus names the tests that run a script, by directory and script. A script without an entry meets all tests of its package.
var focus = map[string]map[string]string{
	"adapters/redis/cache": {
		"cache_lease":      "TestCacheLease_.*|TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"cache_put":        "TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"cache_invalidate": "TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
	},
	"adapters/redis/effect": {
		"once": "TestAFailureThatNobodyCouldForeseeLeavesNoMarker|TestAFullMemoryTakesNoEffect|TestEffects|TestAnEffectIsForgottenAfterItsTime|TestEveryCommandOfAnEffect|TestCommandsThatMightFailHalfWayAreRefused|TestWhatAKeyHoldsIsFollowedThroughAnEffect|TestAnEffectWhoseAnswerWasLostIsThereOnce",
	},
	"adapters/redis/eventlog": {
		"append":      "TestScripts_RefuseOtherData|TestAppendScript_.*|TestLostRepliesAreAskedForAgain|TestEventLogInOnePartition|TestForeignValuesUnderOurKeysLeaveNothingHalfWritten|TestForeignValuesWhereOurKeysWouldBe|TestASendingThatArrivesLateDoesNothing|TestLateCommand|TestLostReplies_Commands|TestContentIsNoEarlierSending|TestALogThatVanishedTakesNothing|TestIndexIsAHashTableFrom128EventsOn|TestAppendsThatWaitTogetherGoTogether|TestAnAppendOfAnotherEpochIsNotSent|TestTakes_.*|TestAppend_FailsClosedWithoutInfo",
		"unread":      "TestCountUnread_Model|TestEventLogInOnePartition",
		"search":      "TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost|" + readTests,
		"last":        "TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost|" + readTests,
		"load":        "TestEventLogInOnePartition|TestAHotMessageIsLoadedInOneStep|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted|" + readTests,
		"read":        "TestEventLogInOnePartition|" + readTests,
		"chat":        "TestEventLogInOnePartition|" + readTests,
		"backlog":     "TestEventLogInOnePartition|" + readTests,
		"heads":       "TestReads_.*|TestEventLogInOnePartition|TestCompareHeads_FindsChatsBeyondTheirCheckpoints",
		"skip":        "TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost|" + readTests,
		"snapshot":    "TestScripts_RefuseOtherData|TestEventLogInOnePartition|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted|TestSnapshot_Versions",
		"activity":    "TestReads_.*|TestActivityIndex.*",
		"confirm":     "TestScripts_RefuseOtherData|TestEventLogInOnePartition|TestLostReplies_Commands",
		"witness":     "TestScripts_RefuseOtherData|TestHistory_.*|TestEventLogInOnePartition",
		"identify":    "TestOpen_.*|TestLevels_.*",
		"raise":       "TestUpgrade_.*|TestLevels_.*",
		"probe":       "TestProbe_.*|TestRights_.*",
		"fsck_fix":    fsckTests,
		"fsck_list":   fsckTests,
		"fsck_page":   fsckTests,
		"fsck_stream": fsckTests,
	},
	"adapters/redis/kv": {
		"count": "TestStore|TestAStores.*",
	},
	"adapters/redis/limit": {
		"take":   "TestLimitsTogether.*|TestLimiter|TestWhatGCRALeavesIsNotRoundedDown|TestTakes_.*|TestForeignValuesWhereALimitWouldBe|TestEventLogInOnePartition",
		"limit":  "TestLimiter|TestOtherProgramsCountOnTheSameKey|TestForeignValuesWhereALimitWouldBe|TestWhatGCRALeavesIsNotRoundedDown",
		"limits": "TestLimiter|TestLimitsTogether.*|TestOtherProgramsCountOnTheSameKey|TestForeignValuesWhereALimitWouldBe",
	},
	"adapters/redis/presence": {
		"presence":      "TestPresenceAfterTheClockWentBack|TestPresence|TestPresenceIsAsTheWireContractSays|TestPresenceOverRandomHistories|TestForeignValuesUnderPresenceKeys|TestForeignValuesHoldUpNobodyElse|TestPresence_.*",
		"presence_ends": "TestPresence|TestPresence_.*|TestForeignValuesUnderPresenceKeys",
		"due":           "TestPresenceAfterTheClockWentBack|TestPresence|TestForeignValuesHoldUpNobodyElse|TestEntriesAreRenewedBeforeTheyAreDue",
		"lead":          "TestPresence",
	},
	"adapters/redis/session": {
		"session_open":  "TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"session_use":   "TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession|TestAUseThatIsNotNotedWritesNothing|TestNoRecordOutlivesItsSession",
		"session_list":  "TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"session_close": "TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
	},
	"adapters/redis/typing": {
		"typing":      "TestTypingMarks.*",
		"typing_list": "TestTypingMarks.*",
	},
	"adapters/redis/view": {
		"view":      "TestUserViews|TestUnreadCountsAreAsTheWireContractSays|TestAForeignValueWhereAUsersNumbersWouldBe",
		"fsck_view": fsckTests,
	},
	"adapters/pubsub": {
		"acquire":          "TestScript_Acquire|TestPartitionsAreReleasedAtOnce|TestEpochsGrowAndRedeliveriesAreTold|TestClockSetBack_.*|TestMiddlewares_LeaseExpires|TestPartitionsAreShared",
		"heartbeat":        "TestScript_Heartbeat|TestPartitionsAreShared|TestClockSetBack_.*|TestDeleteRemovesAGroup",
		"release":          "TestScript_RebuildAndRelease|TestPartitionsAreReleasedAtOnce|TestEpochsGrowAndRedeliveriesAreTold",
		"commit":           "TestScript_Commit.*|TestDeadLetterAndCheckpointAreOneStep|TestFailuresAreTriedAgainAndThenSetAside|TestWhatAFrozenOwnerFinishesChangesNothing|TestDeadLetterBound_.*|TestAParkedChatWaitsForADecision",
		"resolve":          "TestScript_Resolve.*|TestAParkedChatWaitsForADecision|TestARetryThatFailsParksAgain|TestLettersAreGivenAgainOnce|TestUnreadableEntries_AreRetriedForAllGroups",
		"trim":             "TestScript_Trim|TestTrimmingTakesOnlyWhatAllHavePassed|TestAGroupThatIsMovedWhileItRuns|TestOtherConsumerGroupsHoldTheStream|TestStreamBound_.*",
		"create":           "TestScript_CreateAndSeed|TestDeleteRemovesAGroup|TestFromTheBeginningWhileEventsGoOn|TestRebuildBeginsAgain",
		"seed_checkpoints": "TestScript_CreateAndSeed|TestDeleteRemovesAGroup|TestWhatIsPublishedRightAfterSubscribe|TestFromTheBeginningWhileEventsGoOn",
		"rebuild":          "TestScript_RebuildAndRelease|TestRebuildBeginsAgain",
		"fsck_mark":        "TestScript_FsckMark",
	},
}

// lua runs the mutants of a package's scripts. The test binary embeds the scripts unchanged, so a mutant is a copy of the binary with another text in
// the script's place.
func (r *runner) lua(name string, b *build) error {
	scripts, err := filepath.Glob(filepath.Join(b.dir, "script", "*.lua"))
	if err != nil {
		return err
	}
	own := &luaRun{runner: r, name: name, build: b, sources: map[string][]byte{}}
	other := &build{dir: filepath.Join(r.root, r.tests), temp: b.temp, binary: filepath.Join(b.temp, "other.test")} // by default the root package
	root := &luaRun{runner: r, name: name, build: other, sources: own.sources}
	for _, file := range scripts {
		if !r.only.MatchString(filepath.Base(file)) {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		script := name + "/script/" + filepath.Base(file)
		own.sources[script] = src
		to := own
		if r.tests != "" || focus[name][base(script)] == fsckTests {
			to = root
		}
		to.build.mutants = append(to.build.mutants, luaMutants(script, string(src))...)
	}
	return errors.Join(own.all(), root.all())
}

// luaRun is the mutants of scripts that the tests of one package run.
type luaRun struct {
	*runner

	name    string // of the package that has the scripts
	build   *build
	sources map[string][]byte // of scripts
}

func (r *luaRun) all() error {
	b := r.build
	if len(b.mutants) == 0 {
		return nil
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
	took, err := r.durations(all)
	if err != nil {
		return err
	}
	r.each(r.name+"/script", b.mutants, func(n int) string {
		m := b.mutants[n]
		text := luaWithoutComments(m.script)
		original := r.sources[m.file]
		if !bytes.Contains(binary, original) || len(text) > len(original) {
			return "not tried: the binary has no room for it"
		}
		changed := &build{dir: b.dir, binary: filepath.Join(b.temp, fmt.Sprintf("mutant%d.test", n))}
		text += strings.Repeat(" ", len(original)-len(text))
		if err := os.WriteFile(changed.binary, bytes.ReplaceAll(binary, original, []byte(text)), 0o700); err != nil { //nolint:gosec // it is executed
			return err.Error()
		}
		defer os.Remove(changed.binary)
		return r.meets(changed, r.focused(m, all), took)
	})
	return nil
}

// durations runs each test that some mutant meets once without a mutant and returns how long it takes.
func (r *luaRun) durations(all []string) (map[string]time.Duration, error) {
	took, b := map[string]time.Duration{}, r.build
	for _, m := range b.mutants {
		for _, t := range r.focused(m, all) {
			if took[t] > 0 {
				continue
			}
			start := time.Now()
			if message, err := r.test(b, r.limit, []string{t}); err != nil {
				return nil, fmt.Errorf("%s fails without a mutant: %w\n%s", t, err, message)
			}
			took[t] = time.Since(start)
			fmt.Fprintf(r.out, "# %s: %s takes %.1f s\n", r.name, t, took[t].Seconds())
		}
	}
	return took, nil
}

// base returns the name of a script without its directory and ending.
func base(file string) string { return strings.TrimSuffix(filepath.Base(file), ".lua") }

func (r *luaRun) focused(m mutant, all []string) (tests []string) {
	pattern, ok := focus[r.name][base(m.file)]
	if !ok || r.tests != "" {
		pattern = ".*"
	}
	match := regexp.MustCompile("^(" + pattern + ")$")
	for _, t := range all {
		if match.MatchString(t) && r.run.MatchString(t) {
			tests = append(tests, t)
		}
	}
	return tests
}
