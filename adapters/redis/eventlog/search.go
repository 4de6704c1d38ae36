package eventlog

import (
	"context"
	"strconv"
	"sync"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	scanSpan  = 2048 // entries that one call scans for a user; as in the script
	scanAhead = 4    // such calls in flight
)

// Search implements [ports.EventSearch]. Each round trip reads up to 512 entries, and fewer if they are large. A page of 50 messages takes one or two
// round trips. For a user a call scans up to 2,048 entries. Forwards, up to 4 calls are in flight, as many as the page seems to need.
func (l *Log) Search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	if err := f.Check(); err != nil {
		return ports.Page{}, err
	}
	if err := r.Check(); err != nil {
		return ports.Page{}, err
	}
	var page ports.Page
	calls, most, scanned := 1, 1, 0
	if f.User != "" && !r.Backward {
		most = scanAhead
	}
	for left := r; ; {
		left.Limit = r.Limit - len(page.Records)
		steps, err := l.searchAhead(ctx, chat, f, left, calls)
		if err != nil {
			return ports.Page{}, err
		}
		if page.Head == 0 {
			page.Head = steps[0].head
			if left.Until == 0 && most > 1 {
				left.Until = page.Head // later events belong to a later call
			}
		}
		left.From = 0
		for i, s := range steps {
			page.Records = append(page.Records, s.records...)
			if scanned++; len(page.Records) >= r.Limit {
				page.Records = page.Records[:r.Limit]
				return page, nil
			}
			if s.next > 0 { // the results of the calls beyond it are dropped
				left.From = s.next
				if i+1 < len(steps) {
					most = 1
				}
				break
			}
		}
		if left.From == 0 {
			return page, nil
		}
		calls = min(most, max(1, (r.Limit-len(page.Records))*scanned/max(1, len(page.Records))))
	}
}

// searchStep is the result of one call.
type searchStep struct {
	head    domain.Seq
	records []ports.Record
	next    domain.Seq // to continue from; 0 if the whole range was read
}

// searchAhead searches a range with several calls at once. Each call but the last reads a stretch of 2,048 entries. The steps are in the order of the stretches.
func (l *Log) searchAhead(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range, calls int) ([]searchStep, error) {
	if calls > 1 && r.Until >= r.From {
		calls = min(calls, int(min((r.Until-r.From)/scanSpan, scanAhead))+1) //nolint:gosec // at most scanAhead
	} else {
		calls = 1
	}
	if calls == 1 {
		step, err := l.searchOnce(ctx, chat, f, r)
		return []searchStep{step}, err
	}
	steps, errs := make([]searchStep, calls), make([]error, calls)
	var group sync.WaitGroup
	for i := range steps {
		stretch := r
		stretch.From += domain.Seq(i) * scanSpan //nolint:gosec // an index
		if i < calls-1 {
			stretch.Until = stretch.From + scanSpan - 1
		}
		group.Go(func() { steps[i], errs[i] = l.searchOnce(ctx, chat, f, stretch) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// searchOnce is one call of the script.
func (l *Log) searchOnce(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (searchStep, error) {
	reply, err := l.ask(ctx, l.scripts.search, chat, l.searchArgs(chat, f, r))
	if err != nil {
		return searchStep{}, err
	}
	step := searchStep{head: seqOf(reply[0]), next: seqOf(reply[1])}
	last := r.From
	for i := 2; i+1 < len(reply); i += 2 {
		record, err := l.decode(chat, seqOf(reply[i]), reply[i+1])
		if err != nil {
			return searchStep{}, err
		}
		if f.User == "" || domain.Concerns(record.Event, f.User) {
			step.records = append(step.records, record)
		}
		last = record.Seq
	}
	if step.next == 0 && f.User != "" && len(reply)-2 == 2*r.Limit { // the call was full, and some of its events do not concern the user
		switch {
		case !r.Backward:
			step.next = last + 1
		case last > 1:
			step.next = last - 1
		}
	}
	return step, nil
}

func (l *Log) searchArgs(chat domain.ChatID, f ports.Filter, r ports.Range) []any {
	what, backward := "messages", ""
	switch {
	case f.Tombstones:
		what = "tombstones"
	case f.User != "":
		what = "user"
	}
	if r.Backward {
		backward = "1"
	}
	args := []any{nil, keyspace.Escape(string(chat)), what, strconv.FormatUint(uint64(r.From), 10), backward, strconv.FormatUint(uint64(r.Until), 10), r.Limit}
	if f.User == "" {
		return args
	}
	args = append(args, string(f.User), wireformat.AppendQuoted(nil, string(f.User)))
	for _, word := range l.codec.Versions() {
		args = append(args, word)
	}
	return args
}
