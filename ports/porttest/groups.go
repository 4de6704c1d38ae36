package porttest

import (
	"testing"
	"time"

	"chatcore/ports/groups"
)

// GroupsRig holds the groups of a log, and what a test does to the log and the store beside them.
type GroupsRig struct {
	Stores      groups.Stores
	PartitionOf func(chat string) groups.Partition // of the log
	// Append appends n events of a chat to the log. Each has its entry when Append returns.
	Append func(chat string, n int)
	// AppendForeign appends an entry that is in no log to a stream: its UUID, its Metadata and its Payload, without those that are empty.
	AppendForeign func(p groups.Partition, e groups.Entry)
	// Remove removes entries of a stream as another program does: the store does not know.
	Remove func(p groups.Partition, ids ...groups.StreamID)
	// Advance has the store's leases, heartbeats and offers age, as if its clock had been set forward. A negative d sets it back.
	Advance func(d time.Duration)
}

// Groups tests the consumer groups of a log. open returns those of a new log.
func Groups(t *testing.T, open func(t *testing.T) GroupsRig) {
	for _, test := range []struct {
		name string
		run  func(g *groupsTest)
	}{
		{"a group begins with the first event", testGroupBeginning},
		{"a group begins with the next event", testGroupNextEvent},
		{"a group begins at a time", testGroupStartAt},
		{"a group of a stream without a log", testGroupForeign},
		{"first checkpoints are written once", testGroupSeeds},
		{"members send heartbeats", testGroupHeartbeats},
		{"members decline partitions", testGroupDeclines},
		{"heartbeats outlive a clock that was set back", testGroupHeartbeatClock},
		{"a partition has one owner", testGroupOwner},
		{"a lease outlives a clock that was set back for its length", testGroupLeaseClock},
		{"partitions are acquired by themselves", testGroupAcquireMany},
		{"a new owner knows of an earlier one", testGroupOverlap},
		{"a new owner of lost records checks every chat", testGroupLostRecords},
		{"a new owner finds a stream that was trimmed", testGroupAcquireTrimmed},
		{"a new owner finds that the entry at its position was lost", testGroupAcquireLost},
		{"a new owner gets the state of the partition", testGroupLeaseState},
		{"a commit changes every part of the state", testGroupCommit},
		{"a commit renews the lease", testGroupRenewal},
		{"a commit is made once", testGroupRepeatedCommit},
		{"a commit out of turn changes nothing", testGroupSkippedCommit},
		{"a commit of a fenced owner changes nothing", testGroupFencedCommit},
		{"finished events of chats that are behind are no lag", testGroupLag},
		{"commits are made by themselves", testGroupCommitMany},
		{"a commit of entries that were lost changes nothing", testGroupSeen},
		{"entries that were lost before a group has a position", testGroupSeenFirst},
		{"a commit finds a stream that was trimmed", testGroupCommitTrimmed},
		{"the check of every chat makes progress", testGroupWalk},
		{"progress comes back as written", testGroupProgress},
		{"a released partition is free", testGroupRelease},
		{"a repeated release changes nothing", testGroupReleaseFenced},
		{"checkpoints of many chats", testGroupCheckpoints},
		{"dead letters are written", testGroupLetters},
		{"dead letters of unreadable entries are shared", testGroupSharedLetters},
		{"failed retries are marked", testGroupFailedRetry},
		{"a retry out of order", testGroupRetryOutOfOrder},
		{"a retry of a parked chat", testGroupRetryParked},
		{"a dropped letter of a parked chat", testGroupDropParked},
		{"a dropped letter", testGroupDrop},
		{"a retried entry of another program", testGroupRetryEntry},
		{"an entry that was cut is not retried", testGroupRetryCut},
		{"dead letters come in pages", testGroupLetterPages},
		{"dead letters that do not exist", testGroupNoLetter},
		{"groups that do not exist", testGroupNotFound},
		{"groups are listed", testGroupList},
		{"chats that make no progress are listed", testGroupBlocked},
		{"a group exists until it is deleted", testGroupExists},
		{"a rebuilt group begins anew", testGroupRebuild},
		{"entries are read in order", testGroupNext},
		{"a read waits for entries", testGroupNextWaits},
		{"a read shows a gap", testGroupNextGap},
		{"a long stream is read in batches", testGroupNextMany},
		{"a trimmed entry is not a lost one", testGroupTrimmed},
		{"a stream is trimmed to the lowest position", testGroupTrim},
		{"a stream is trimmed to its bound", testGroupTrimBound},
		{"heads are compared with checkpoints", testGroupCompareHeads},
		{"a closed store ends its reads", testGroupClose},
		{"ended contexts change nothing", testGroupContexts},
		{"one of many members owns a partition", testGroupRace},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newGroupsTest(t, open(t))) })
	}
	t.Run("random commits, decisions and takeovers", func(t *testing.T) { testGroupModel(t, open) })
}
