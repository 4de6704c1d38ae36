package porttest

import (
	"testing"

	"chatcore/ports"
)

// Log is an event log with all of its ports.
type Log interface {
	ports.EventLog
	ports.ChatIndex
	ports.MessageCounter
	ports.MemberCounter
	ports.EventSearch
	ports.Lister
	ports.BulkReader
	ports.BatchAppender
	ports.Snapshots
	ports.Eraser
}

// EventLog tests an event log. open may return the same log for every subtest.
func EventLog(t *testing.T, open func(t *testing.T) Log) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, log Log)
	}{
		{"a chat that does not exist", testUnknownChat},
		{"conditions match the exact version only", testConditions},
		{"a failed append leaves nothing", testAtomicity},
		{"an invalid append leaves nothing", testInvalid},
		{"an event too large leaves nothing", testTooLarge},
		{"a message or command is appended once", testIdempotency},
		{"commands with an id are recorded", testCommands},
		{"an append has many events", testManyEvents},
		{"a batch has an outcome for each command", testBatch},
		{"an ended context appends nothing", testEndedContext},
		{"a cancelled append is in the log or not, as its error says", testCancelled},
		{"records come back as appended", testRecords},
		{"odd ids", testOddIDs},
		{"entities have versions and histories", testEntities},
		{"a read mark is loaded in spite of late receipts", testLateReceipt},
		{"entities are loaded as of seqs that are many events back", testLoadUntil},
		{"content is no receipt", testContentIsNoReceipt},
		{"net reactions", testNetReactions},
		{"a long history is loaded whole", testLongHistory},
		{"loads are of one moment", testLoadMoment},
		{"loads go on from snapshots", testSnapshots},
		{"snapshots ahead of the chat are not kept", testEarlySnapshots},
		{"reads select by seq", testRead},
		{"searches select by events", testSearch},
		{"lists in pages", testPages},
		{"last messages", testLastMessages},
		{"many chats at once", testManyChats},
		{"an entity's events in pages", testEntityPages},
		{"members, present and former", testMembers},
		{"chats", testChats},
		{"messages are counted", testCount},
		{"counts are of one moment", testCountMoment},
		{"unread messages are counted", testCountMembers},
		{"unread counts of a chat are of one moment", testCountMembersMoment},
		{"erasures", testErasure},
		{"an invalid erasure leaves nothing", testInvalidErasure},
		{"erasures of several segments", testErasureOfSegments},
		{"an erasure drops snapshots", testErasureOfSnapshots},
		{"concurrent erasures", testConcurrentErasures},
		{"erasures of content", testContentErasure},
		{"an erasure of content drops snapshots", testContentErasureOfSnapshots},
		{"concurrent erasures of content", testConcurrentContentErasures},
		{"concurrent writers of one chat", testWritersOfOneChat},
		{"concurrent writers of several chats", testWritersOfSeveralChats},
		{"concurrent repetitions", testRepetitions},
		{"random commands", testRandomCommands},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}
