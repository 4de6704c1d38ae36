package domain_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// TestReactionsAndTheirClones applies events to states and to clones of them, each with a plain map beside it. No state may see an event that was
// applied to another.
func TestReactionsAndTheirClones(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct {
			state *domain.Reactions
			model map[domain.Reaction]domain.Seq
		}
		all := []pair{{&domain.Reactions{}, map[domain.Reaction]domain.Seq{}}}
		users := rapid.SampledFrom([]int{3, 200}).Draw(t, "users")
		for seq := range domain.Seq(rapid.IntRange(1, 400).Draw(t, "events")) {
			p := &all[len(all)-1]
			if rapid.IntRange(0, 3).Draw(t, "clone") == 0 {
				clone, _ := p.state.Clone().(*domain.Reactions)
				all = append(all, pair{clone, maps.Clone(p.model)})
				p = &all[len(all)-1]
			}
			key := domain.Reaction{User: domain.UserID(fmt.Sprint("u", rapid.IntRange(0, users).Draw(t, "user"))), Emoji: "👍"}
			action := domain.ReactionAdd
			if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				action = domain.ReactionRemove
			}
			p.state.Apply(seq+1, domain.MessageReaction{User: key.User, Emoji: key.Emoji, Action: action})
			if _, there := p.model[key]; action == domain.ReactionAdd && !there {
				p.model[key] = seq + 1
			} else if action == domain.ReactionRemove {
				delete(p.model, key)
			}
		}
		for i, p := range all {
			if got := maps.Collect(p.state.All()); !maps.Equal(got, p.model) || p.state.Len() != len(p.model) {
				t.Fatalf("state %d of %d has %d reactions, want %d", i, len(all), len(got), len(p.model))
			}
			var users []domain.UserID
			for _, g := range p.state.Groups() {
				users = append(users, g.Users...)
			}
			if !slices.IsSortedFunc(users, func(a, b domain.UserID) int {
				return int(p.model[domain.Reaction{User: a, Emoji: "👍"}]) - int(p.model[domain.Reaction{User: b, Emoji: "👍"}])
			}) {
				t.Fatal("the users are not in the order in which they reacted")
			}
		}
	})
}

// TestReactions_CountEmojisInTheirNormalForm adds reactions in two spellings of an emoji, and removes them in the other one.
func TestReactions_CountEmojisInTheirNormalForm(t *testing.T) {
	r := &domain.Reactions{}
	const normal, other = "❤️", "❤"
	for i, e := range []domain.MessageReaction{
		{User: "ann", Emoji: other, Action: domain.ReactionAdd}, {User: "bob", Emoji: normal, Action: domain.ReactionAdd},
	} {
		r.Apply(domain.Seq(i+1), e)
	}
	if r.Emojis() != 1 || r.With(normal) != 2 {
		t.Errorf("%d emojis, %d reactions with it; want 1 and 2", r.Emojis(), r.With(normal))
	}
	r.Apply(3, domain.MessageReaction{User: "ann", Emoji: normal, Action: domain.ReactionRemove})
	r.Apply(4, domain.MessageReaction{User: "bob", Emoji: other, Action: domain.ReactionRemove})
	if r.Emojis() != 0 || r.With(normal) != 0 {
		t.Errorf("%d emojis, %d reactions with it; want none", r.Emojis(), r.With(normal))
	}
}
