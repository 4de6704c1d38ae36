package redis

import (
	"context"
	"strconv"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Search implements [ports.EventSearch]. Each round trip reads up to 512 entries, or scans 1,024 of them for a user, and fewer if they are large. A
// page of 50 messages takes one or two round trips.
func (l *Log) Search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	if err := f.Check(); err != nil {
		return ports.Page{}, err
	}
	if err := r.Check(); err != nil {
		return ports.Page{}, err
	}
	var page ports.Page
	for next := r.From; ; {
		left := r
		left.From, left.Limit = next, r.Limit-len(page.Records)
		reply, err := l.ask(ctx, l.scripts.search, chat, l.searchArgs(chat, f, left))
		if err != nil {
			return ports.Page{}, err
		}
		if page.Head == 0 {
			page.Head = seqOf(reply[0])
		}
		for i := 2; i+1 < len(reply); i += 2 {
			record, err := l.decode(chat, seqOf(reply[i]), reply[i+1])
			if err != nil {
				return ports.Page{}, err
			}
			if f.User == "" || domain.Concerns(record.Event, f.User) {
				page.Records = append(page.Records, record)
			}
			next = record.Seq
		}
		full := len(page.Records) >= r.Limit
		switch goOn := seqOf(reply[1]); {
		case full:
			return page, nil
		case goOn > 0:
			next = goOn
		case f.User == "" || len(reply)-2 < 2*left.Limit: // the whole range was read
			return page, nil
		case r.Backward && next == 1:
			return page, nil
		case r.Backward:
			next--
		default:
			next++
		}
	}
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
	args := []any{nil, escape(string(chat)), what, strconv.FormatUint(uint64(r.From), 10), backward, strconv.FormatUint(uint64(r.Until), 10), r.Limit}
	if f.User == "" {
		return args
	}
	args = append(args, string(f.User), wireformat.AppendQuoted(nil, string(f.User)))
	for _, word := range l.codec.Versions() {
		args = append(args, word)
	}
	return args
}
