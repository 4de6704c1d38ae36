package connect

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// logService implements chatcore.v1.LogService.
type logService struct{ *calls }

const defaultPage = 50 // items

// size returns the number of items of a page.
func (in *input) size(size uint32) int {
	if size > app.MaxList {
		in.keep(&domain.InvalidError{Field: "page_size", Problem: fmt.Sprintf("is %d", size), Allowed: fmt.Sprintf("1 to %d, or 0 for %d", app.MaxList, defaultPage)})
	}
	return int(cmp.Or(size, defaultPage))
}

// ListEvents reads one page. It reads a further event only after a full page of newer events: seqs are dense, so an older page exists below any seq above 1.
func (s *logService) ListEvents(ctx context.Context, req *v1.ListEventsRequest) (*v1.ListEventsResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), 0)
	tokens := tokensOf("ListEvents", req.GetChatId(), req.GetActorId())
	span := in.eventSpan(req, tokens)
	if in.err != nil {
		return nil, in.err
	}
	records, err := reader.Events(ctx, chat, span)
	if err != nil {
		return nil, err
	}
	var out output
	events := each(records, out.event)
	backward := span.After == 0 && !span.First
	if backward {
		events = events[len(events)-fitting(slices.Backward(events)):]
	} else {
		events = events[:fitting(slices.All(events))]
	}
	var next string
	switch {
	case out.err != nil || len(events) == 0:
	case backward && events[0].GetSeq() > 1 && (len(records) == span.Limit || len(events) < len(records)):
		next = olderThan + seqText(events[0].GetSeq())
	case !backward && len(events) < len(records):
		next = newerThan + seqText(events[len(events)-1].GetSeq())
	case !backward && len(records) == span.Limit:
		next, err = newerEvents(ctx, reader, chat, records[len(records)-1].Seq)
	}
	return &v1.ListEventsResponse{Events: events, NextPageToken: tokens.token(next)}, cmp.Or(err, out.err)
}

// maxPageBytes bounds the size of a page of items of any size: clients of gRPC accept 4 MiB.
const maxPageBytes = 3 << 20

// fitting returns how many messages fit into a page, at least one if there is one.
func fitting[M proto.Message](messages iter.Seq2[int, M]) (n int) {
	bytes := 0
	for _, m := range messages {
		if bytes += proto.Size(m); bytes > maxPageBytes && n > 0 {
			return n
		}
		n++
	}
	return n
}

// Prefixes of the cursors of ListEvents, by direction.
const (
	olderThan = "<"
	newerThan = ">"
)

// newerEvents returns the cursor of the events above a seq, or "" if there are none.
func newerEvents(ctx context.Context, reader chatReader, chat domain.ChatID, last domain.Seq) (string, error) {
	further, err := reader.Events(ctx, chat, domain.Span{After: last, Limit: 1})
	if err != nil || len(further) == 0 {
		return "", err
	}
	return newerThan + seqText(uint32(last)), nil
}

// eventSpan returns the page that a request asks for: that of its token, or of its start.
func (in *input) eventSpan(req *v1.ListEventsRequest, tokens pageTokens) domain.Span {
	span := domain.Span{Limit: in.size(req.GetPageSize())}
	cursor, err := tokens.cursor(req.GetPageToken())
	in.keep(err)
	if cursor != "" {
		if seq, older := strings.CutPrefix(cursor, olderThan); older {
			span.Before = in.seqOf(seq, req.GetPageToken())
		} else {
			span.After = in.seqOf(strings.TrimPrefix(cursor, newerThan), req.GetPageToken())
		}
		return span
	}
	switch start := req.GetStart().(type) {
	case *v1.ListEventsRequest_BeforeSeq:
		if start.BeforeSeq == 0 {
			in.keep(&domain.InvalidError{Field: "before_seq", Problem: "is 0", Allowed: "a seq from 1"})
		}
		span.Before = domain.Seq(start.BeforeSeq)
	case *v1.ListEventsRequest_AfterSeq:
		span.After, span.First = domain.Seq(start.AfterSeq), start.AfterSeq == 0
	case *v1.ListEventsRequest_Oldest:
		span.First = start.Oldest
	}
	return span
}

func seqText(seq uint32) string { return strconv.FormatUint(uint64(seq), 10) }

// seqOf returns the seq of a cursor, from 1.
func (in *input) seqOf(cursor, token string) domain.Seq {
	seq, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil || seq == 0 {
		in.keep(badPageToken(token))
	}
	return domain.Seq(seq)
}

func (s *logService) ListAuditEvents(ctx context.Context, req *v1.ListAuditEventsRequest) (*v1.ListAuditEventsResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq())
	var about domain.Audit
	switch of := req.GetAbout().(type) {
	case *v1.ListAuditEventsRequest_MessageId:
		about.Message = in.message("message_id", of.MessageId)
	case *v1.ListAuditEventsRequest_UserId:
		about.User = in.user("user_id", of.UserId)
	}
	size := in.size(req.GetPageSize())
	tokens := tokensOf("ListAuditEvents", req.GetChatId(), req.GetActorId(), about.Message, about.User, req.GetAtSeq())
	cursor, err := tokens.cursor(req.GetPageToken())
	in.keep(err)
	if cursor != "" {
		about.After = in.seqOf(cursor, req.GetPageToken())
	}
	if in.err != nil {
		return nil, in.err
	}
	records, more, err := firstOf(reader.Audit(ctx, chat, about), size)
	if err != nil {
		return nil, err
	}
	var out output
	events := each(records, out.event)
	events = events[:fitting(slices.All(events))]
	next := ""
	if more || len(events) < len(records) {
		next = seqText(events[len(events)-1].GetSeq())
	}
	return &v1.ListAuditEventsResponse{Events: events, NextPageToken: tokens.token(next)}, out.err
}

// firstOf returns the first items of a sequence, and whether it has further ones.
func firstOf[T any](items iter.Seq2[T, error], most int) (first []T, more bool, err error) {
	for item, err := range items {
		switch {
		case err != nil:
			return nil, false, err
		case len(first) == most:
			return first, true, nil
		}
		first = append(first, item)
	}
	return first, false, nil
}
