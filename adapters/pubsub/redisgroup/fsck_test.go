package redisgroup_test

import (
	"fmt"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// fsck returns what a check finds, as KIND or KIND of CHAT.
func (r *rig) fsck(repair bool) (found []string) {
	r.t.Helper()
	r.check(r.groups.Fsck(r.t.Context(), redisgroup.FsckConfig{Backlog: r.log, Codec: wireformat.New(), Repair: repair, Report: func(c ports.Contradiction) error {
		text := c.Kind
		if c.Chat != "" {
			text += " of " + string(c.Chat)
		}
		if c.Repaired != (repair && c.Repair != "") {
			text += fmt.Sprint(", repaired: ", c.Repaired)
		}
		found = append(found, text)
		return nil
	}}))
	slices.Sort(found)
	return found
}

// TestFsck_FindsEachContradiction damages the state of a group in each way. A check finds the damage, a repair corrects it, and the next check finds
// nothing.
func TestFsck_FindsEachContradiction(t *testing.T) {
	t.Parallel()
	hset := func(name string, values ...any) func(r *rig) error {
		return func(r *rig) error { return r.client.HSet(r.t.Context(), r.key(name, "g"), values...).Err() }
	}
	letter := func(values ...any) func(r *rig) error {
		return func(r *rig) error {
			return r.client.XAdd(r.t.Context(), &goredis.XAddArgs{Stream: r.key("dead", "g"), Values: values}).Err()
		}
	}
	for name, test := range map[string]struct {
		damage func(r *rig) error
		want   []string
	}{
		"none":                       {func(*rig) error { return nil }, nil},
		"the state":                  {func(r *rig) error { return r.client.Del(r.t.Context(), r.key("state", "g")).Err() }, []string{"group_state"}},
		"the state without an epoch": {func(r *rig) error { return r.client.HDel(r.t.Context(), r.key("state", "g"), "epoch").Err() }, []string{"group_state"}},
		"the list of groups": {
			func(r *rig) error { return r.client.SRem(r.t.Context(), r.place.Base+"groups", "g").Err() }, []string{"group_unlisted"},
		},
		"a checkpoint beyond the head":   {hset("chats", "a", 9), []string{"checkpoint of a"}},
		"a checkpoint that is missing":   {func(r *rig) error { return r.client.HDel(r.t.Context(), r.key("chats", "g"), "a").Err() }, []string{"undelivered of a"}},
		"a parked chat without a letter": {hset("left", "a", "parked"), []string{"parked of a"}},
		"a mark of a letter":             {hset("again", "5-0", "1"), []string{"letter"}},
		"a letter of no event":           {letter("reason", "bad", "chat", "a", "seq", 7), []string{"letter of a"}},
		"a letter of another event":      {letter("reason", "bad", "chat", "a", "seq", 1, wireformat.FieldUUID, "other"), []string{"letter of a"}},
		"a letter of an event":           {letter("reason", "bad", "chat", "a", "seq", 1, wireformat.FieldUUID, "e-a-1"), nil},
		"progress beyond a checkpoint":   {hset("failing", "a", "~0 0 0 0  9  "), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Shared(t))
			r.send("a", "a", "b")
			store := r.create("g", groups.Start{Beginning: true})
			l := r.acquire(store, "m")
			end, err := store.Last(t.Context(), r.partition)
			r.check(err)
			result := r.commit(store, l.Epoch, groups.Commit{
				Number: 1, Position: end, Passed: 3, Walk: groups.Walk{Changed: true}, Checkpoints: []groups.Checkpoint{{Chat: "a", Seq: 2}, {Chat: "b", Seq: 1}},
			})
			r.check(result.Err)
			r.check(test.damage(r))
			for _, step := range []struct {
				repair bool
				want   []string
			}{{false, test.want}, {true, test.want}, {false, nil}} {
				if got := r.fsck(step.repair); !slices.Equal(got, step.want) {
					t.Errorf("a check, repairing %v, finds %q, want %q", step.repair, got, step.want)
				}
			}
		})
	}
}
