package porttest

import (
	"time"

	"chatcore/ports/groups"
)

// beat sends a heartbeat of a member.
func (g *groupsTest) beat(member string, ttl time.Duration, declined ...groups.Partition) groups.Members {
	g.t.Helper()
	members, err := g.store.Heartbeat(g.t.Context(), member, ttl, declined, time.Minute)
	g.ok(err)
	members.Living = sorted(members.Living)
	return members
}

func testGroupHeartbeats(g *groupsTest) {
	_, err := g.store.Heartbeat(g.t.Context(), "a", time.Hour, nil, 0)
	g.fails("a heartbeat of a group that does not exist", err, groups.ErrGroupDeleted)
	g.create(g.store, groups.Start{}, g.Stores.Partitions()...)
	g.same("members", g.beat("a", time.Hour).Living, []string{"a"})
	g.Advance(30 * time.Minute)
	g.same("members", g.beat("b", time.Hour).Living, []string{"a", "b"})
	g.same("members in the list", g.listed().Members, 2)
	g.Advance(45 * time.Minute)
	g.same("members in the list once one has expired", g.listed().Members, 1)
	g.same("members once one has expired", g.beat("c", time.Hour).Living, []string{"b", "c"})
	g.same("members after one has left", g.beat("b", 0).Living, []string{"c"})
	g.same("members after a stranger has left", g.beat("x", 0).Living, []string{"c"})
	g.ok(g.Stores.Delete(g.t.Context(), "g"))
	_, err = g.store.Heartbeat(g.t.Context(), "c", time.Hour, nil, 0)
	g.fails("a heartbeat of a deleted group", err, groups.ErrGroupDeleted)
	_, err = g.store.Heartbeat(g.t.Context(), "c", 0, nil, 0)
	g.ok(err)
}

// listed returns the state of the group in the list.
func (g *groupsTest) listed() groups.State {
	g.t.Helper()
	list, err := g.Stores.List(g.t.Context())
	g.ok(err)
	for _, s := range list {
		if s.Group == "g" {
			return s
		}
	}
	g.t.Fatalf("the group is not in the list %+v", list)
	return groups.State{}
}

func testGroupDeclines(g *groupsTest) {
	g.create(g.store, groups.Start{}, g.Stores.Partitions()...)
	other := groups.Partition{Stream: "other", Number: 1}
	g.same("offers", g.beat("a", time.Hour).Declined[g.p.Stream], []string(nil))
	g.same("offers", g.beat("a", time.Hour, g.p).Declined[g.p.Stream], []string{"a"})
	members := g.beat("b", time.Hour, g.p, other)
	g.same("offers", sorted(members.Declined[g.p.Stream]), []string{"a", "b"})
	g.same("offers", members.Declined[other.Stream], []string{"b"})
	g.Advance(30 * time.Second)
	g.same("offers", g.beat("a", time.Hour, other).Declined[g.p.Stream] != nil, true)
	g.Advance(40 * time.Second)
	members = g.beat("c", time.Hour)
	g.same("offers of the others once theirs have ended", members.Declined, map[string][]string{other.Stream: {"a"}})
	g.Advance(30 * time.Second)
	g.same("offers at the end", len(g.beat("c", time.Hour).Declined), 0)
}

// testGroupHeartbeatClock checks that a member that has ended, and its offers, do not last for as long as the clock was set back.
func testGroupHeartbeatClock(g *groupsTest) {
	g.create(g.store, groups.Start{}, g.Stores.Partitions()...)
	g.beat("a", time.Minute, g.p)
	g.beat("b", time.Minute)
	g.Advance(-time.Hour)
	members := g.beat("b", time.Minute)
	g.same("members", members.Living, []string{"a", "b"})
	g.same("offers", len(members.Declined), 0)
	g.Advance(2 * time.Minute)
	g.same("members after a minute", g.beat("c", time.Minute).Living, []string{"c"})
}
