package porttest

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
	"chatcore/ports"
)

func testMembers(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	var join []ports.Append
	for i := range 320 {
		join = append(join, then(added(c, domain.UserID(fmt.Sprintf("user-%d", i)))))
	}
	h.appendBatch(join...)
	h.append(then(removed(c, "user-7"), removed(c, "user-8"), added(c, "user-8")))
	h.append(then(owned(c, "user-9"), sent(c, "m", "user-10"), read(c, "m", "stranger", 1)))
	if got, want := len(h.members(c)), 321; got != want {
		t.Errorf("%d members were listed, want %d", got, want)
	}
	h.verify()

	n := 0
	for _, err := range log.Members(t.Context(), c) {
		if n++; err != nil || n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("iteration stopped after %d members, want 3", n)
	}
}

func testChats(t *testing.T, log Log) {
	h := newHarness(t, log)
	for range 40 {
		h.append(then(created(NewChatID())))
	}
	h.checkChats()
	for _, err := range log.Chats(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break // the iteration can be stopped early
	}
}

func testCount(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	expect := func(after domain.Seq, want ports.MessageCount) {
		t.Helper()
		if got := h.count(c, after)[0]; got != want {
			t.Errorf("after %d: got %+v, want %+v", after, got, want)
		}
	}
	expect(0, ports.MessageCount{})
	expect(9, ports.MessageCount{})
	h.append(then(created(c)))
	expect(0, ports.MessageCount{Last: 1})
	h.append(then(sent(c, "m1", ann), sent(c, "m2", ann), edited(c, "m1", ann), sent(c, "m3", bob))) // 2, 3, 4, 5
	erase := given{at(domain.MessageEntity("m1"), 4)}.then(deleted(c, "m1", ann))
	h.append(erase) // 6
	erase.Events = []ports.NewEvent{deleted(c, "m1", bob)}
	h.append(erase) // a conflict
	h.append(then(reacted(c, "m2", ann)))
	expect(0, ports.MessageCount{Last: 7, Head: 3, At: 0, Deleted: 1})
	expect(1, ports.MessageCount{Last: 7, Head: 3, At: 0, Deleted: 1})
	expect(2, ports.MessageCount{Last: 7, Head: 3, At: 1, Deleted: 0})
	expect(4, ports.MessageCount{Last: 7, Head: 3, At: 2, Deleted: 0})
	h.append(then(deleted(c, "m3", bob))) // 8
	expect(0, ports.MessageCount{Last: 8, Head: 3, At: 0, Deleted: 2})
	expect(4, ports.MessageCount{Last: 8, Head: 3, At: 2, Deleted: 1})
	expect(5, ports.MessageCount{Last: 8, Head: 3, At: 3, Deleted: 0})
	expect(8, ports.MessageCount{Last: 8, Head: 3, At: 3, Deleted: 0})
	expect(1000, ports.MessageCount{Last: 8, Head: 3, At: 3, Deleted: 0})

	var batch []ports.Append
	for i := range 300 {
		m := domain.MessageID(fmt.Sprintf("n%d", i))
		batch = append(batch, then(sent(c, m, ann)))
		if i%3 == 0 {
			batch = append(batch, then(deleted(c, m, ann)))
		}
	}
	h.appendBatch(batch...)
	var all []domain.Seq
	for after := domain.Seq(0); after <= h.history(c).head()+10; after += 9 {
		all = append(all, after)
	}
	h.checkCount(c, all...)
	h.checkCount(c)
	h.verify()
}

// testCountMoment appends messages that are deleted in the same step: every count must find all of them deleted.
func testCountMoment(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	ctx, cancel := h.bounded()
	defer cancel()
	var writers errgroup.Group
	for w := range 4 {
		writers.Go(func() error {
			for i := range 25 {
				m := domain.MessageID(fmt.Sprintf("m%d-%d", w, i))
				if _, err := log.Append(ctx, then(sent(c, m, ann), deleted(c, m, ann))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	done := make(chan struct{})
	var readers errgroup.Group
	readers.Go(func() error {
		for {
			counts, err := log.Count(ctx, c, 0, 1, 0)
			if err != nil {
				return err
			}
			for i, got := range counts {
				if want := (ports.MessageCount{Last: domain.Seq(1 + 2*got.Head), Head: got.Head, Deleted: got.Head}); got != want || got != counts[0] {
					return fmt.Errorf("count %d is %+v, want %+v", i, got, want)
				}
			}
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	close(done)
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
}
