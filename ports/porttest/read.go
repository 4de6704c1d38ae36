package porttest

import (
	"errors"
	"fmt"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// testRead reads a chat that is long enough for an adapter to have split it. The ends of the parts are likely to be multiples of 256.
func testRead(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	const total = 2100
	for m := 0; h.history(c).head() <= total; {
		var batch []ports.Append
		for range 30 { // commands of seven events, so that some span an end
			var events []ports.NewEvent
			for range 6 {
				m++
				events = append(events, sent(c, domain.MessageID(fmt.Sprintf("m%d", m)), ann))
			}
			batch = append(batch, then(append(events, reacted(c, events[0].Event.(domain.MessageNew).Message, bob))...))
		}
		h.appendBatch(batch...)
	}
	head := h.history(c).head()
	for _, limit := range []int{1, 2, 10, ports.MaxPage} {
		for _, from := range []domain.Seq{
			0, 1, 2, 255, 256, 257, 512, 1020, 1023, 1024, 1025, 1026, 2047, 2048, 2049, head - 1, head, head + 1, head + 5000,
		} {
			h.checkRead(c, ports.Range{From: from, Limit: limit})
			h.checkRead(c, ports.Range{From: from, Limit: limit, Backward: true})
		}
	}
	if page := h.read(c, ports.Range{From: head + 1, Limit: 1}); len(page.Records) != 0 || page.Head != head {
		t.Errorf("beyond the head is %+v, want no records and head %d", page, head)
	}
	h.verify()

	for _, limit := range []int{-1, 0, ports.MaxPage + 1} {
		var invalid *domain.InvalidError
		if _, err := log.Read(t.Context(), c, ports.Range{Limit: limit}); !errors.As(err, &invalid) {
			t.Errorf("limit %d gave the error %v, want an InvalidError", limit, err)
		}
	}
}
