package redisgroup_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// TestInspect_State returns the state of some partitions, without the members.
func TestInspect_State(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	ctx := t.Context()
	if _, err := r.groups.Inspect(ctx, "g", []groups.Partition{r.partition}); !errors.Is(err, groups.ErrGroupNotFound) {
		t.Errorf("no group: %v", err)
	}
	if _, err := r.groups.Inspect(ctx, "g", nil); !errors.Is(err, groups.ErrGroupNotFound) {
		t.Errorf("no group, and no partitions: %v", err)
	}
	store := r.create("g", groups.Start{Beginning: true})
	r.send("a", "a", "b", "c", "d")
	_, err := store.Heartbeat(ctx, "m", lease, nil, lease)
	r.check(err)
	l := r.acquire(store, "m")
	since := time.UnixMilli(1764057600123).UTC()
	first := r.client.XRange(ctx, r.partition.Stream, "-", "+").Val()
	position, _ := groups.ParseStreamID(first[2].ID)
	result := r.commit(store, l.Epoch, groups.Commit{
		Number: 1, Position: position, Passed: 3, Walk: groups.Walk{Changed: true, Active: true, Checked: 2, Total: 4},
		Left: []groups.LeftChat{{Chat: "a", State: groups.Behind}, {Chat: "b", State: groups.Parked}},
		Failing: []groups.FailingChat{
			{Chat: "c", Progress: groups.Progress{Failure: groups.Failure{EventFailure: groups.EventFailure{Seq: 1}, Since: since, Reason: groups.BlockedSlow}}},
			{Chat: "d", Progress: groups.Progress{Done: []groups.SeqRange{{From: 2, To: 3}}}},
		},
		Letters: []groups.Letter{{Reason: "bad", Chat: "b", Seq: 1, Parked: true}},
	})
	r.check(result.Err)
	if result.DeadLetters != 1 || result.Lost || result.Written != 0 {
		t.Errorf("result %+v", result)
	}
	s := r.state("g")
	oldest, _ := groups.ParseStreamID(first[3].ID)
	if s.Oldest.UnixMilli() != int64(oldest.Milliseconds) || s.Age < 0 || s.Until.Before(r.now()) { //nolint:gosec // a time
		t.Errorf("oldest %v, age %v, until %v", s.Oldest, s.Age, s.Until)
	}
	s.Oldest, s.Age, s.Until = time.Time{}, 0, time.Time{}
	want := groups.PartitionState{
		Stream: r.partition.Stream, Owner: "m", Epoch: l.Epoch, Position: position.String(), Passed: 3, Lag: 4, Behind: 1, Parked: 1, Failing: 2, Blocked: 1,
		Longest: []groups.BlockedChat{{Chat: "c", Seq: 1, Reason: groups.BlockedSlow, Since: since}}, Letters: 1, Walked: 2, Chats: 4, CatchesUp: true,
	}
	if fmt.Sprintf("%+v", s) != fmt.Sprintf("%+v", want) {
		t.Errorf("the state is\n%+v, want\n%+v", s, want)
	}
	if state, err := r.groups.Inspect(ctx, "g", nil); err != nil || state.Group != "g" || state.Members != 0 || len(state.Partitions) > 0 {
		t.Errorf("no partitions: %+v, error %v", state, err)
	}
	list, err := r.groups.List(ctx)
	if err != nil || len(list) != 1 || list[0].Members != 1 || len(list[0].Partitions) != len(r.groups.Partitions()) {
		t.Errorf("all groups: %+v, error %v", list, err)
	}
}

// TestList_LeavesOutDeletedGroups lists groups of which one was deleted after its name was read: its state is gone, and its name is still there.
func TestList_LeavesOutDeletedGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	r.create("g", groups.Start{Beginning: true})
	r.create("h", groups.Start{Beginning: true})
	r.send("a")
	r.check(r.groups.Delete(t.Context(), "h"))
	r.check(r.client.SAdd(t.Context(), r.place.Base+"groups", "h").Err())
	list, err := r.groups.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Group != "g" {
		t.Errorf("groups %+v, error %v", list, err)
	}
}

// TestAdmin_OfGroupsThatDoNotExist gives every method that names a group one that does not exist.
func TestAdmin_OfGroupsThatDoNotExist(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"inspect":      func() error { _, err := r.groups.Inspect(ctx, "g", r.groups.Partitions()); return err },
		"rebuild":      func() error { return r.groups.Rebuild(ctx, "g") },
		"delete":       func() error { return r.groups.Delete(ctx, "g") },
		"dead letter":  func() error { _, err := r.groups.DeadLetter(ctx, "g", "0/1-1"); return err },
		"retry":        func() error { return r.groups.Retry(ctx, "g", "0/1-1") },
		"drop":         func() error { return r.groups.Drop(ctx, "g", "0/1-1") },
		"dead letters": func() error { return all(r, "", nil) },
	} {
		if err := do(); !errors.Is(err, groups.ErrGroupNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.create("g", groups.Start{Beginning: true})
	for name, do := range map[string]func() error{
		"dead letter": func() error { _, err := r.groups.DeadLetter(ctx, "g", "0/1-1"); return err },
		"retry":       func() error { return r.groups.Retry(ctx, "g", "0/1-1") },
		"drop":        func() error { return r.groups.Drop(ctx, "g", "0/1-1") },
	} {
		if err := do(); !errors.Is(err, groups.ErrDeadLetterNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"x", "1-1", "9/1-1", "-1/1-1", "0/1", "0/01-1"} {
		if err := all(r, id, nil); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("dead letters after %q: %v", id, err)
		}
		if err := r.groups.Drop(ctx, "g", id); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("drop %q: %v", id, err)
		}
	}
}

// all calls see with the dead letters of group g after an id, until it returns false.
func all(r *rig, after string, see func(groups.DeadLetter) bool) error {
	for d, err := range r.groups.DeadLettersAfter(r.t.Context(), "g", after) {
		if err != nil {
			return err
		}
		if !see(d) {
			break
		}
	}
	return nil
}

// TestAdmin_OfALogThatIsLost finds that the log is gone, not the group.
func TestAdmin_OfALogThatIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t))
	store := r.create("g", groups.Start{Beginning: true})
	l := r.acquire(store, "m")
	ctx := t.Context()
	r.check(r.client.FlushAll(ctx).Err())
	for name, do := range map[string]func() error{
		"list":      func() error { _, err := r.groups.List(ctx); return err },
		"exists":    func() error { _, err := r.groups.Exists(ctx, "g"); return err },
		"rebuild":   func() error { return r.groups.Rebuild(ctx, "g") },
		"create":    func() error { _, err := store.Create(ctx, r.partition, groups.Start{}); return err },
		"seed":      func() error { _, err := store.Seed(ctx, r.partition, nil, true); return err },
		"heartbeat": func() error { _, err := store.Heartbeat(ctx, "m", lease, nil, 0); return err },
		"commit":    func() error { return r.commit(store, l.Epoch, groups.Commit{Number: 1}).Err },
		"trim":      func() error { _, err := store.Trim(ctx, r.partition, 1); return err },
		"acquire": func() error {
			_, errs := store.Acquire(ctx, []groups.Partition{r.partition}, []bool{false}, groups.Applicant{Member: "m", Lease: lease})
			return errs[0]
		},
	} {
		if err := do(); !errors.Is(err, ports.ErrLogLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStore_OfADeletedGroup finds that the group is gone while its log is there.
func TestStore_OfADeletedGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	store := r.create("g", groups.Start{Beginning: true})
	l := r.acquire(store, "m")
	ctx := t.Context()
	r.check(r.groups.Delete(ctx, "g"))
	if keys := r.client.Keys(ctx, r.place.Base+"g:*").Val(); len(keys) > 0 {
		t.Errorf("there remain %v", keys)
	}
	for name, do := range map[string]func() error{
		"heartbeat": func() error { _, err := store.Heartbeat(ctx, "m", lease, nil, 0); return err },
		"commit":    func() error { return r.commit(store, l.Epoch, groups.Commit{Number: 1}).Err },
		"acquire": func() error {
			_, errs := store.Acquire(ctx, []groups.Partition{r.partition}, []bool{false}, groups.Applicant{Member: "m", Lease: lease})
			return errs[0]
		},
	} {
		if err := do(); !errors.Is(err, groups.ErrGroupDeleted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLargeHashes_AreReadInPages has a member acquire a partition, and read the changes of others, while the group has many chats left to the log, failing
// chats and retried dead letters. No command may read one of these hashes whole, which would block Redis.
func TestLargeHashes_AreReadInPages(t *testing.T) {
	t.Parallel()
	const n, page = 3000, 1000
	r := newRig(t, redistest.Start(t))
	ctx, store := t.Context(), r.create("g", groups.Start{Beginning: true})
	for hash, value := range map[string]string{"left": "parked", "failing": "1:1", "again": ""} {
		var fields []any
		for i := range n {
			fields = append(fields, fmt.Sprintf("%d-%d", i+1, i), value)
		}
		r.check(r.client.HSet(ctx, r.key(hash, "g"), fields...).Err())
	}
	r.check(r.client.ConfigResetStat(ctx).Err())
	for what, test := range map[string]struct {
		hashes int
		read   func() error
	}{
		"acquire": {3, func() error {
			if l := r.acquire(store, "m"); len(l.Left) != n || len(l.Failing) != n || len(l.Retries) != n {
				t.Errorf("%d chats left, %d failing, %d retries", len(l.Left), len(l.Failing), len(l.Retries))
			}
			return nil
		}},
		"changes": {2, func() error {
			c, err := store.Changes(ctx, r.partition)
			if len(c.Left) != n || len(c.Retries) != n || c.Left["1-0"] != groups.Parked {
				t.Errorf("%d chats left, %d retries", len(c.Left), len(c.Retries))
			}
			return err
		}},
		"inspect": {2, func() error { _, err := r.groups.Inspect(ctx, "g", []groups.Partition{r.partition}); return err }},
		"fsck": {2, func() error {
			return r.groups.Fsck(ctx, redisgroup.FsckConfig{Backlog: r.log, Codec: wireformat.New(), Report: func(ports.Contradiction) error { return nil }})
		}},
	} {
		before := redistest.AllCommands(t, r.client)["hscan"]
		r.check(test.read())
		if pages := redistest.AllCommands(t, r.client)["hscan"] - before; pages < test.hashes*n/page {
			t.Errorf("%s: %d calls of HSCAN, want at least %d", what, pages, test.hashes*n/page)
		}
	}
	if whole := redistest.AllCommands(t, r.client)["hgetall"]; whole > 1 { // of the group's state, by Inspect
		t.Errorf("HGETALL was called %d times", whole)
	}
}

// TestDeadLetters_CostOfAPage reads a page of many dead letters. Its commands must not depend on the number before it, nor on the number of those that
// are to be redelivered.
func TestDeadLetters_CostOfAPage(t *testing.T) {
	t.Parallel()
	const n, page = 3000, 50
	r := newRig(t, redistest.Start(t))
	r.create("g", groups.Start{Beginning: true})
	ctx := t.Context()
	_, err := r.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range n {
			id := fmt.Sprintf("%d-0", i+1)
			p.XAdd(ctx, &goredis.XAddArgs{Stream: r.key("dead", "g"), ID: id, Values: []any{"reason", "bad", "attempts", 1}})
			p.HSet(ctx, r.key("again", "g"), id, "1")
		}
		return nil
	})
	r.check(err)
	for _, start := range []int{0, n / 2, n - page} {
		r.check(r.client.ConfigResetStat(ctx).Err())
		after, read := "", 0
		if start > 0 {
			after = fmt.Sprintf("0/%d-0", start)
		}
		r.check(all(r, after, func(d groups.DeadLetter) bool {
			read++
			if want := fmt.Sprintf("0/%d-0", start+read); d.ID != want || !d.Again {
				t.Fatalf("letter %d after %q: %+v", read, after, d)
			}
			return read < page
		}))
		for command, want := range map[string]int{"xrange": 1, "hmget": 1, "hscan": 0, "hgetall": 0} {
			if got := redistest.AllCommands(t, r.client)[command]; read != page || got != want {
				t.Errorf("%d letters after %q: %d calls of %s, want %d", read, after, got, command, want)
			}
		}
	}
}

// TestDeadLetters_OfACommit reads the letters that a commit has written, as the owner and as an administrator.
func TestDeadLetters_OfACommit(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t))
	ctx, store := t.Context(), r.create("g", groups.Start{Beginning: true})
	l := r.acquire(store, "m")
	entry := groups.StreamID{Milliseconds: 5, Number: 1}
	letters := []groups.Letter{
		{Reason: "bad", Attempts: 4, UUID: "u", Metadata: string(wireformat.EncodeMetadata(map[string]string{"k": "v"})), Payload: []byte("{}"), Chat: "a", Seq: 7, Parked: true},
		{Reason: "unreadable", UUID: "v", Payload: []byte("x"), Entry: entry, Cut: true},
	}
	if result := r.commit(store, l.Epoch, groups.Commit{Number: 1, Letters: letters}); result.Err != nil || result.DeadLetters != 2 || result.Written != 1 {
		t.Fatalf("result %+v", result)
	}
	var found []groups.DeadLetter
	r.check(all(r, "", func(d groups.DeadLetter) bool { found = append(found, d); return true }))
	if len(found) != 2 {
		t.Fatalf("%d letters", len(found))
	}
	var ids []string
	for i, d := range found {
		if one, err := r.groups.DeadLetter(ctx, "g", d.ID); err != nil || fmt.Sprint(one) != fmt.Sprint(d) {
			t.Errorf("letter %s is %+v, error %v", d.ID, one, err)
		}
		if age := r.now().Sub(d.At); age < -time.Second || age > time.Hour {
			t.Errorf("the letter is %v old", age)
		}
		ids = append(ids, d.ID[len("0/"):])
		found[i].ID, found[i].At = "", time.Time{}
	}
	want := []groups.DeadLetter{
		{Group: "g", Reason: "bad", First: "bad", Attempts: 4, Parked: true, Chat: "a", Seq: 7, EventID: "u", Metadata: map[string]string{"k": "v"}, Payload: []byte("{}")},
		{Group: "g", Reason: "unreadable", First: "unreadable", Entry: "5-1", EventID: "v", Metadata: map[string]string{}, Payload: []byte("x")},
	}
	if fmt.Sprintf("%+v", found) != fmt.Sprintf("%+v", want) {
		t.Errorf("the letters are\n%+v, want\n%+v", found, want)
	}
	stored, err := store.Letters(ctx, r.partition, append(slices.Clone(ids), "9-9"))
	r.check(err)
	if len(stored) != 2 || fmt.Sprintf("%+v", stored[0]) != fmt.Sprintf("%+v", groups.StoredLetter{Letter: letters[0], ID: ids[0]}) || stored[1].Entry != entry || !stored[1].Cut {
		t.Errorf("stored: %+v", stored)
	}
}
