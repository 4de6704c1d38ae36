package porttest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
	"chatcore/ports"
)

func testWritersOfOneChat(t *testing.T, log Log) { testWriters(t, log, NewChatID()) }

func testWritersOfSeveralChats(t *testing.T, log Log) {
	testWriters(t, log, NewChatID(), NewChatID(), NewChatID(), NewChatID())
}

// commit is an append that succeeded.
type commit struct {
	command ports.Append
	at      ports.Appended
}

// testWriters runs 64 writers that append 20 commands each. It then checks that one order of the commands explains every outcome: the order of the
// log.
func testWriters(t *testing.T, log Log, chats ...domain.ChatID) {
	const writers, each = 64, 20
	h := newHarness(t, log)
	ctx, cancel := h.bounded()
	defer cancel()
	commits := make([][]commit, writers)
	group, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		group.Go(func() error {
			for i := range each {
				c, err := write(ctx, log, chats[w%len(chats)], w, i)
				if err != nil {
					return err
				}
				commits[w] = append(commits[w], c)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	events := make(map[domain.ChatID]map[domain.EventID]ports.NewEvent)
	total := make(map[domain.ChatID]int)
	for w, mine := range commits {
		chat := chats[w%len(chats)]
		if events[chat] == nil {
			events[chat] = make(map[domain.EventID]ports.NewEvent)
		}
		for _, c := range mine {
			total[chat] += len(c.command.Events)
			for _, e := range c.command.Events {
				events[chat][e.ID] = e
			}
		}
	}
	for _, chat := range chats {
		if head := h.adopt(chat, events[chat]).head(); head != domain.Seq(total[chat]) {
			t.Errorf("chat %q has %d events, %d were appended", chat, head, total[chat])
		}
	}
	for w, mine := range commits {
		last := domain.Seq(0)
		for _, c := range mine {
			checkCommit(t, h.history(chats[w%len(chats)]), c)
			if c.at.First <= last {
				t.Errorf("writer %d appended at %d after %d", w, c.at.First, last)
			}
			last = c.at.Last
		}
	}
	h.verify()
}

// checkCommit checks that the commit explains the log at its seqs: its events, one after the other, and before them the versions of its conditions.
func checkCommit(t *testing.T, h *history, c commit) {
	t.Helper()
	if int(c.at.Last-c.at.First)+1 != len(c.command.Events) || c.at.Last > h.head() || c.at.Ordinal != h.ordinal(c.at.Last) {
		t.Fatalf("%d events were appended as %+v", len(c.command.Events), c.at)
	}
	for i, e := range c.command.Events {
		if id := h.records[int(c.at.First)-1+i].ID; id != e.ID {
			t.Fatalf("event %d of the append at %d is %q, want %q", i, c.at.First, id, e.ID)
		}
	}
	for _, condition := range c.command.Conditions {
		if v := h.versionBefore(condition.Entity, c.at.First); !condition.Holds(v) {
			t.Fatalf("the append at %d had %s at %d as its condition, it was at %d", c.at.First, condition.Entity, condition.Version, v)
		}
	}
}

// write appends the i-th command of writer w: a message, with a reaction or alone, in a batch or alone; an edit of the message before; or now and
// then a change of the title, for which writers compete.
func write(ctx context.Context, log Log, c domain.ChatID, w, i int) (commit, error) {
	id := func(i int) domain.MessageID { return domain.MessageID(fmt.Sprintf("m-%d-%d", w, i)) }
	if w%8 == 0 && i%10 == 9 {
		return rename(ctx, log, c, domain.Title(id(i)))
	}
	user := domain.UserID(fmt.Sprintf("user-%d", w))
	command := given{at(domain.MessageEntity(id(i)), 0)}.then(sent(c, id(i), user))
	switch i % 5 {
	case 1, 4:
		command.Events = append(command.Events, reacted(c, id(i), user))
	case 2:
		outcomes, err := log.AppendBatch(ctx, []ports.Append{command})
		if err != nil {
			return commit{}, err
		}
		return commit{command, outcomes[0].Appended}, outcomes[0].Err
	case 3:
		before := ports.LoadRequest{Entity: domain.MessageEntity(id(i - 1))}
		loaded, err := log.Load(ctx, c, before)
		if err != nil {
			return commit{}, err
		}
		command = given{at(before.Entity, loaded.Entities[0].Version)}.then(edited(c, id(i-1), user))
	}
	appended, err := log.Append(ctx, command)
	return commit{command, appended}, err
}

func rename(ctx context.Context, log Log, c domain.ChatID, title domain.Title) (commit, error) {
	for {
		loaded, err := log.Load(ctx, c, ports.LoadRequest{Entity: domain.ChatEntity(), Latest: true})
		if err != nil {
			return commit{}, err
		}
		command := given{at(domain.ChatEntity(), loaded.Entities[0].Version)}.then(renamed(c, title))
		appended, err := log.Append(ctx, command)
		if !errors.Is(err, ports.ErrConflict) {
			return commit{command, appended}, err
		}
	}
}

// testRepetitions repeats each of a few commands many times at once: one of each succeeds, the others get its version.
func testRepetitions(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	const commands, times = 8, 16
	outcomes := make([][times]ports.Outcome, commands)
	ctx, cancel := h.bounded()
	defer cancel()
	var group errgroup.Group
	for i := range commands {
		for j := range times {
			group.Go(func() error {
				m := domain.MessageID(fmt.Sprintf("m%d", i))
				o := &outcomes[i][j]
				o.Appended, o.Err = log.Append(ctx, given{at(domain.MessageEntity(m), 0)}.then(sent(c, m, ann)))
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if head := h.read(c, ports.Range{Limit: 1}).Head; head != commands {
		t.Errorf("%d commands left %d events", commands, head)
	}
	for i := range outcomes {
		entity := domain.MessageEntity(domain.MessageID(fmt.Sprintf("m%d", i)))
		version := h.load(c, ports.LoadRequest{Entity: entity}).Entities[0].Version
		succeeded := 0
		for _, o := range outcomes[i] {
			var conflict *ports.ConflictError
			switch {
			case o.Err == nil && o.Appended.First == version:
				succeeded++
			case !errors.As(o.Err, &conflict) || conflict.Version != version:
				t.Errorf("%s, which is at %d, gave %+v", entity, version, o)
			}
		}
		if succeeded != 1 {
			t.Errorf("%s was appended %d times", entity, succeeded)
		}
	}
}
