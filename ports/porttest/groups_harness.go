package porttest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// groupLease is a lease that does not end during a test unless the rig's clock is set forward.
const groupLease = 10 * time.Minute

// groupsTest is a test of the group "g" on the partition p of a log.
type groupsTest struct {
	GroupsRig
	t     tb
	store groups.Store
	p     groups.Partition
	chats []string // of the partition, as many as named; chat returns them
	named int

	storeIDs map[string]string // ids of dead letters for the store, by their ids for the administration
}

func newGroupsTest(t *testing.T, rig GroupsRig) *groupsTest {
	t.Helper()
	g := &groupsTest{GroupsRig: rig, t: t, p: rig.Stores.Partitions()[0], storeIDs: make(map[string]string)}
	g.store = g.open(t, "g")
	return g
}

// with returns a copy of the test that fails t.
func (g *groupsTest) with(t tb) *groupsTest {
	c := *g
	c.t = t
	return &c
}

// open returns a store that the test closes.
func (g *groupsTest) open(t *testing.T, group string) groups.Store {
	store := g.Stores.Store(group)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func (g *groupsTest) ok(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("unexpected error: %v", err)
	}
}

// fails checks that an error is the wanted one.
func (g *groupsTest) fails(what string, err, want error) {
	g.t.Helper()
	if !errors.Is(err, want) {
		g.t.Fatalf("%s gave the error %v, want %v", what, err, want)
	}
}

// same checks a value.
func (g *groupsTest) same(what string, got, want any) {
	g.t.Helper()
	if !reflect.DeepEqual(got, want) {
		g.t.Fatalf("%s: %+v, want %+v", what, got, want)
	}
}

// chat returns the i-th chat of the partition, from 0.
func (g *groupsTest) chat(i int) string {
	for ; len(g.chats) <= i; g.named++ {
		if chat := fmt.Sprintf("chat-%d", g.named); g.PartitionOf(chat) == g.p {
			g.chats = append(g.chats, chat)
		}
	}
	return g.chats[i]
}

// append appends n events of the i-th chat.
func (g *groupsTest) append(i, n int) { g.Append(g.chat(i), n) }

// create creates the group of a store on partitions, on p if none is given, without checkpoints.
func (g *groupsTest) create(store groups.Store, at groups.Start, on ...groups.Partition) {
	g.t.Helper()
	if len(on) == 0 {
		on = []groups.Partition{g.p}
	}
	for _, p := range on {
		fresh, err := store.Create(g.t.Context(), p, at)
		g.ok(err)
		if fresh {
			_, err := store.Seed(g.t.Context(), p, nil, true)
			g.ok(err)
		}
	}
}

func applicant(member string) groups.Applicant {
	return groups.Applicant{Member: member, Lease: groupLease, DeadLetterBound: 1000}
}

// tryAcquire acquires a partition for a member. It returns nil if another member owns it.
func (g *groupsTest) tryAcquire(store groups.Store, p groups.Partition, by groups.Applicant, lost bool) *groups.Lease {
	g.t.Helper()
	leases, errs := store.Acquire(g.t.Context(), []groups.Partition{p}, []bool{lost}, by)
	if len(leases) != 1 || len(errs) != 1 {
		g.t.Fatalf("one partition gave %d leases and %d errors", len(leases), len(errs))
	}
	g.ok(errs[0])
	return leases[0]
}

// acquire acquires p for a member.
func (g *groupsTest) acquire(member string) *groups.Lease {
	g.t.Helper()
	lease := g.tryAcquire(g.store, g.p, applicant(member), false)
	if lease == nil {
		g.t.Fatalf("member %q has not got the partition", member)
	}
	return lease
}

// own creates the group on p, beginning with the first event, and acquires p.
func (g *groupsTest) own() *groups.Lease {
	g.t.Helper()
	g.create(g.store, groups.Start{Beginning: true})
	return g.acquire("a")
}

// commit makes a commit on p.
func (g *groupsTest) commit(epoch uint64, c groups.Commit) groups.CommitResult {
	g.t.Helper()
	return g.commitOn(g.store, g.p, epoch, c)
}

func (g *groupsTest) commitOn(store groups.Store, p groups.Partition, epoch uint64, c groups.Commit) groups.CommitResult {
	g.t.Helper()
	results := store.Commit(g.t.Context(), []groups.OwnedCommit{{Partition: p, Epoch: epoch, Commit: &c}}, groupLease)
	if len(results) != 1 {
		g.t.Fatalf("one commit gave %d results", len(results))
	}
	return results[0]
}

// committed makes a commit on p, which must be made.
func (g *groupsTest) committed(epoch uint64, c groups.Commit) groups.CommitResult {
	g.t.Helper()
	result := g.commit(epoch, c)
	g.ok(result.Err)
	return result
}

// entries returns all entries of a stream.
func (g *groupsTest) entries(p groups.Partition) (all []groups.Entry) {
	g.t.Helper()
	after := groups.StreamID{}
	for {
		b, err := g.store.Next(g.t.Context(), p, after, false)
		g.ok(err)
		all = append(all, b.Entries...)
		if len(b.Entries) == 0 {
			return all
		}
		after = b.Last()
	}
}

// ids returns the ids of all entries of p.
func (g *groupsTest) ids() (ids []groups.StreamID) {
	g.t.Helper()
	for _, e := range g.entries(g.p) {
		ids = append(ids, e.ID)
	}
	return ids
}

// saved is the state of the group on p.
type saved struct {
	State       groups.PartitionState
	Changes     groups.Changes
	Checkpoints map[string]domain.Seq
	Letters     []groups.DeadLetter
}

// saved returns the state of the group on p, without ages and the lease's end.
func (g *groupsTest) saved() (s saved) {
	g.t.Helper()
	state, err := g.Stores.Inspect(g.t.Context(), "g", []groups.Partition{g.p})
	g.ok(err)
	if len(state.Partitions) != 1 {
		g.t.Fatalf("one partition has %d states", len(state.Partitions))
	}
	s.State = state.Partitions[0]
	s.State.Age, s.State.Until = 0, time.Time{}
	s.Changes = g.changes()
	s.Checkpoints = make(map[string]domain.Seq)
	if len(g.chats) > 0 {
		seqs, err := g.store.Checkpoints(g.t.Context(), g.p, g.chats)
		g.ok(err)
		for i, seq := range seqs {
			s.Checkpoints[g.chats[i]] = seq
		}
	}
	s.Letters = g.letters()
	return s
}

// letters returns all dead letters of the group.
func (g *groupsTest) letters() (all []groups.DeadLetter) {
	g.t.Helper()
	for d, err := range g.Stores.DeadLettersAfter(g.t.Context(), "g", "") {
		g.ok(err)
		all = append(all, d)
	}
	return all
}

// checkpoint returns the checkpoint of the i-th chat.
func (g *groupsTest) checkpoint(i int) domain.Seq {
	g.t.Helper()
	seqs, err := g.store.Checkpoints(g.t.Context(), g.p, []string{g.chat(i)})
	g.ok(err)
	return seqs[0]
}

func (g *groupsTest) changes() groups.Changes {
	g.t.Helper()
	changes, err := g.store.Changes(g.t.Context(), g.p)
	g.ok(err)
	changes.Left, changes.Retries = some(changes.Left), some(changes.Retries)
	return changes
}

// some returns a map, or nil if it is empty.
func some[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return m
}

// letterFor returns a dead letter about an event of the i-th chat.
func (g *groupsTest) letterFor(i int, seq domain.Seq) groups.Letter {
	return groups.Letter{
		Reason: "it is broken", Attempts: 3, UUID: fmt.Sprintf("event %d of %d", seq, i), Metadata: "\x81\xa4type\xa1x", Payload: []byte(`{"a":1}`),
		Chat: g.chat(i), Seq: seq,
	}
}

// sorted returns a sorted copy.
func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }
