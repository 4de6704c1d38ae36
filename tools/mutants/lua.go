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

// readTests are tests of what is missing or unreadable where scripts read a chat.
const readTests = "TestCountUnread_Model|TestForeignValuesWhereOurKeysWouldBe|TestAnEntryThatIsNoEventIsNamed|TestALatestReadMarkCostsOneEvent|TestALogThatVanishedTakesNothing|TestMalformedIsNotNewer|TestAPageOfAListCostsWhatItShows|TestReads_.*"

// focus names the tests that run a script, by directory and script. A script without an entry meets all tests of its package.
var focus = map[string]map[string]string{
	"adapters/redis/cache": {
		"cache_lease":      "TestCacheLease_.*|TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"cache_put":        "TestScript_CachePut|TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
		"cache_invalidate": "TestScript_CacheInvalidate|TestCaches|TestCachedValues.*|TestAForeignValueWhereACachedOneWouldBe",
	},
	"adapters/redis/definitions": {
		"definition_read":   "TestDefinitions.*",
		"definition_change": "TestDefinitions.*",
	},
	"adapters/redis/effect": {
		"once": "TestScript_Once|TestAFailureThatNobodyCouldForeseeLeavesNoMarker|TestAFullMemoryTakesNoEffect|TestEffects|TestAnEffectIsForgottenAfterItsTime|TestEveryCommandOfAnEffect|TestCommandsThatMightFailHalfWayAreRefused|TestWhatAKeyHoldsIsFollowedThroughAnEffect|TestAnEffectWhoseAnswerWasLostIsThereOnce",
	},
	"adapters/redis/eventlog": {
		"send":      "TestScript_Send.*|TestASendingThatArrivesLateDoesNothing|TestLostRepliesAreAskedForAgain",
		"plain":     "TestScript_Send.*|TestScript_EraseMessage.*|TestASendingThatArrivesLateDoesNothing",
		"plain_end": "TestScript_Send.*|TestScript_EraseMessage.*",

		"erase_message": "TestScript_EraseMessage.*|TestASendingThatArrivesLateDoesNothing|TestLostRepliesAreAskedForAgain|TestQueue_PlainAndOtherAppends",
		"append":        "TestScript_Append.*|TestAnnouncements_.*|TestScripts_RefuseOtherData|TestAppendScript_.*|TestLostRepliesAreAskedForAgain|TestEventLogInOnePartition|TestForeignValuesUnderOurKeysLeaveNothingHalfWritten|TestForeignValuesWhereOurKeysWouldBe|TestASendingThatArrivesLateDoesNothing|TestLateCommand|TestLostReplies_Commands|TestContentIsNoEarlierSending|TestALogThatVanishedTakesNothing|TestIndexIsAHashTableFrom128EventsOn|TestAppendsThatWaitTogetherGoTogether|TestAnAppendOfAnotherEpochIsNotSent|TestTakes_.*",
		"unread":        "TestScript_Unread|TestCountUnread_Model|TestEventLogInOnePartition",
		"members":       "TestScript_Members|TestEventLogInOnePartition",
		"marks":         "TestScript_Unread|TestScript_Members|TestCountUnread_Model|TestEventLogInOnePartition",
		"search":        "TestScript_Search.*|TestScript_DamagedChat|TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost|" + readTests,
		"last":          "TestScript_Last|TestScript_DamagedChat|TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost|" + readTests,
		"load":          "TestScript_Load|TestScript_DamagedChat|TestEventLogInOnePartition|TestAHotMessageIsLoadedInOneStep|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted|" + readTests,
		"read":          "TestScript_Read|TestScript_DamagedChat|TestEventLogInOnePartition|" + readTests,
		"chat":          "TestScript_.*|TestEventLogInOnePartition|" + readTests,
		"backlog":       "TestScript_Backlog|TestScript_DamagedChat|TestEventLogInOnePartition|" + readTests,
		"heads":         "TestScript_Heads|TestReads_.*|TestEventLogInOnePartition|TestCompareHeads_FindsChatsBeyondTheirCheckpoints",
		"skip":          "TestScript_Load|TestEventLogInOnePartition|TestAPageCostsWhatItsMessagesCost|" + readTests,
		"snapshot":      "TestScript_SmallWrites|TestScripts_RefuseOtherData|TestEventLogInOnePartition|TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted|TestSnapshot_Versions|TestScript_SnapshotOfErasedMessage",
		"activity":      "TestScript_Activity|TestReads_.*|TestActivityIndex.*",
		"previews":      "TestScript_Previews|TestChatView",
		"rows":          "TestScript_Rows|TestChatView",
		"vault_note":    "TestScript_SmallWrites|TestVaultNotes.*",
		"erase_content": "TestScript_EraseContent|TestEventLogInOnePartition|TestRetentionRules",
		"rule_change":   "TestScript_SmallWrites|TestRetentionRules.*",
		"confirm":       "TestScript_SmallWrites|TestScripts_RefuseOtherData|TestEventLogInOnePartition|TestLostReplies_Commands",
		"witness":       "TestScript_SmallWrites|TestScripts_RefuseOtherData|TestHistory_.*|TestEventLogInOnePartition",
		"identify":      "TestScript_SmallWrites|TestOpen_.*|TestLevels_.*",
		"raise":         "TestScript_SmallWrites|TestUpgrade_.*|TestLevels_.*",
		"rewrite":       "TestScript_Rewrite|TestRewrite_.*",
		"restore":       "TestScript_Restore",
		"probe":         "TestScript_SmallWrites",
		"fsck_fix":      "TestScript_Fsck.*",
		"fsck_list":     "TestScript_Fsck.*",
		"fsck_page":     "TestScript_Fsck.*",
		"fsck_stream":   "TestScript_Fsck.*",
	},
	"adapters/redis/kv": {
		"count": "TestStore|TestAStores.*",
	},
	"adapters/redis/limit": {
		"take":   "TestScript_Limits|TestLimitsTogether.*|TestLimiter|TestWhatGCRALeavesIsNotRoundedDown|TestForeignValuesWhereALimitWouldBe",
		"limit":  "TestScript_Limit|TestLimiter|TestOtherProgramsCountOnTheSameKey|TestForeignValuesWhereALimitWouldBe|TestWhatGCRALeavesIsNotRoundedDown",
		"limits": "TestScript_Limits|TestLimiter|TestLimitsTogether.*|TestOtherProgramsCountOnTheSameKey|TestForeignValuesWhereALimitWouldBe",
	},
	"adapters/redis/presence": {
		"presence":      "TestScript_PresenceBeat|TestScript_PresenceSteps|TestPresenceAfterTheClockWentBack|TestPresence|TestPresenceIsAsTheWireContractSays|TestPresenceOverRandomHistories|TestForeignValuesUnderPresenceKeys|TestForeignValuesHoldUpNobodyElse|TestPresence_.*",
		"presence_ends": "TestScript_PresenceEnds|TestPresence|TestPresence_.*|TestForeignValuesUnderPresenceKeys",
		"due":           "TestScript_PresenceDue|TestPresenceAfterTheClockWentBack|TestPresence|TestForeignValuesHoldUpNobodyElse|TestEntriesAreRenewedBeforeTheyAreDue",
		"lead":          "TestScript_PresenceLease|TestPresence",
	},
	"adapters/redis/session": {
		"session_open":  "TestScript_SessionOpen|TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"session_use":   "TestScript_SessionUse|TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession|TestAUseThatIsNotNotedWritesNothing|TestNoRecordOutlivesItsSession",
		"session_list":  "TestScript_SessionList|TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
		"session_close": "TestScript_SessionClose|TestSessions|TestSessionsWhateverTheCallersClock|TestSessionsAreAsTheWireContractSays|TestForeignValuesWhereSessionsWouldBe|TestALostHalfOfASessionIsNoSession",
	},
	"adapters/redis/typing": {
		"typing":      "TestTypingMarks.*",
		"typing_list": "TestTypingMarks.*",
	},
	"adapters/redis/view": {
		"view":      "TestScript_View.*|TestUserViews|TestUnreadCountsAreAsTheWireContractSays|TestAForeignValueWhereAUsersNumbersWouldBe",
		"fsck_view": "TestScript_FsckView",
	},
	"adapters/pubsub/redisgroup": {
		"acquire":          "TestScript_Acquire|TestStores",
		"heartbeat":        "TestScript_Heartbeat|TestStores",
		"release":          "TestScript_RebuildAndRelease|TestStores",
		"commit":           "TestScript_Commit.*|TestStores",
		"resolve":          "TestScript_Resolve.*|TestStores",
		"erase":            "TestScript_Erase.*",
		"trim":             "TestScript_Trim|TestStores",
		"create":           "TestScript_CreateAndSeed|TestStores|TestCreate_.*",
		"seed_checkpoints": "TestScript_CreateAndSeed|TestStores",
		"rebuild":          "TestScript_RebuildAndRelease|TestStores",
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
	run := &luaRun{runner: r, name: name, build: b, sources: map[string][]byte{}}
	for _, file := range scripts {
		if !r.only.MatchString(filepath.Base(file)) {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		script := name + "/script/" + filepath.Base(file)
		run.sources[script] = src
		b.mutants = append(b.mutants, luaMutants(script, string(src))...)
	}
	if r.tests != "" {
		b.dir = filepath.Join(r.root, r.tests)
	}
	return run.all()
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
