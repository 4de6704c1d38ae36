package connect_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
)

// bearer is an interceptor of a client that sends a token.
type bearer string

func (b bearer) WrapUnary(next rpc.UnaryFunc) rpc.UnaryFunc {
	return func(ctx context.Context, req rpc.AnyRequest) (rpc.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next rpc.StreamingClientFunc) rpc.StreamingClientFunc {
	return func(ctx context.Context, spec rpc.Spec) rpc.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (bearer) WrapStreamingHandler(next rpc.StreamingHandlerFunc) rpc.StreamingHandlerFunc {
	return next
}

// as returns the option of a client that calls with a token.
func as(token string) rpc.ClientOption { return rpc.WithInterceptors(bearer(token)) }

// log returns a client of the log, with all scopes.
func (g *guarded) log() chatcorev1connect.LogServiceClient {
	return chatcorev1connect.NewLogServiceClient(g.client, g.url, as(g.services["all"]))
}

// detailOf returns the code and the detail of an error.
func detailOf(t testing.TB, err error) (rpc.Code, *v1.ErrorDetail) {
	t.Helper()
	coded, ok := err.(*rpc.Error) //nolint:errorlint // of a client
	if !ok {
		return 0, nil
	}
	for _, d := range coded.Details() {
		if value, err := d.Value(); err == nil {
			if detail, ok := value.(*v1.ErrorDetail); ok {
				return coded.Code(), detail
			}
		}
	}
	return coded.Code(), nil
}

func isInvalid(t testing.TB, what string, err error, field string) {
	t.Helper()
	if code, d := detailOf(t, err); code != rpc.CodeInvalidArgument || d.GetReason() != "invalid" || d.GetField() != field || d.GetProblem() == "" || d.GetAllowed() == "" {
		t.Errorf("%s: %v, %v, want a problem of %s", what, err, d, field)
	}
}

// seqsOf returns the seqs of events.
func seqsOf(events []*v1.Event) (seqs []uint32) {
	for _, e := range events {
		seqs = append(seqs, e.GetSeq())
	}
	return seqs
}

// walk returns the events of all pages, in the order in which they came, and the number of pages.
func (g *guarded) walk(req *v1.ListEventsRequest) (seqs []uint32, pages int) {
	g.t.Helper()
	req = proto.CloneOf(req)
	for {
		res, err := g.log().ListEvents(g.t.Context(), req)
		if err != nil {
			g.t.Fatal(err)
		}
		page := seqsOf(res.GetEvents())
		if !slices.IsSorted(page) || len(page) > 256 || req.GetPageSize() > 0 && len(page) > int(req.GetPageSize()) || proto.Size(res) > 4<<20 {
			g.t.Errorf("%v: a page %v of %d bytes", req, page, proto.Size(res))
		}
		if pages++; len(page) == 0 && pages > 1 {
			g.t.Errorf("%v: an empty page", req)
		}
		seqs = append(seqs, page...)
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			return seqs, pages
		}
	}
}

func TestLog_Pages(t *testing.T) {
	g := newGuarded(t)
	p := g.newPlace()
	const events = 40
	for i := 0; ; i++ {
		sent, err := g.core.Chats.Send(t.Context(), domain.Send{Chat: domain.ChatID(p.chat), Actor: domain.UserID(p.owner()), Content: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		if sent.Seq == events {
			break
		}
	}
	var all []uint32
	for seq := uint32(1); seq <= events; seq++ {
		all = append(all, seq)
	}
	for _, size := range []uint32{1, 7, 8, 20, 39, 40, 41, 256, 0} {
		for what, test := range map[string]struct {
			req  *v1.ListEventsRequest
			want []uint32
		}{
			"latest": {&v1.ListEventsRequest{}, all},
			"before": {&v1.ListEventsRequest{Start: &v1.ListEventsRequest_BeforeSeq{BeforeSeq: 31}}, all[:30]},
			"first":  {&v1.ListEventsRequest{Start: &v1.ListEventsRequest_BeforeSeq{BeforeSeq: 1}}, nil},
			"after":  {&v1.ListEventsRequest{Start: &v1.ListEventsRequest_AfterSeq{AfterSeq: 10}}, all[10:]},
			"all":    {&v1.ListEventsRequest{Start: &v1.ListEventsRequest_AfterSeq{}}, all},
			"oldest": {&v1.ListEventsRequest{Start: &v1.ListEventsRequest_Oldest{Oldest: true}}, all},
			"end":    {&v1.ListEventsRequest{Start: &v1.ListEventsRequest_AfterSeq{AfterSeq: events}}, nil},
		} {
			test.req.ChatId, test.req.PageSize = p.chat, size
			got, pages := g.walk(test.req)
			slices.Sort(got)
			page := int(size)
			if page == 0 {
				page = 50
			}
			if want := max(1, (len(test.want)+page-1)/page); !slices.Equal(got, test.want) || pages != want {
				t.Errorf("%s, %d a page: %v in %d pages, want %v in %d", what, size, got, pages, test.want, want)
			}
		}
	}
	var audited []uint32
	for req := (&v1.ListAuditEventsRequest{ChatId: p.chat, PageSize: 10, AtSeq: 20, About: &v1.ListAuditEventsRequest_UserId{UserId: p.owner()}}); ; {
		res, err := g.log().ListAuditEvents(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		audited = append(audited, seqsOf(res.GetEvents())...)
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	want := slices.DeleteFunc(slices.Clone(all[:20]), func(s uint32) bool { return s == 7 }) // the message of the member
	if !slices.Equal(audited, want) {
		t.Errorf("the audit of the owner has %v, want %v", audited, want)
	}
}

// TestLog_WrongPages gives sizes, starts and tokens that are not allowed, also tokens of other lists.
func TestLog_WrongPages(t *testing.T) {
	g := newGuarded(t)
	p, other, ctx := g.newPlace(), g.newPlace(), t.Context()
	first, err := g.log().ListEvents(ctx, &v1.ListEventsRequest{ChatId: p.chat, PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	audit, err := g.log().ListAuditEvents(ctx, &v1.ListAuditEventsRequest{ChatId: p.chat, PageSize: 2})
	if err != nil || audit.GetNextPageToken() == "" || first.GetNextPageToken() == "" {
		t.Fatal(audit, err)
	}
	for what, test := range map[string]struct {
		req   *v1.ListEventsRequest
		field string
	}{
		"size":             {&v1.ListEventsRequest{ChatId: p.chat, PageSize: 257}, "page_size"},
		"start":            {&v1.ListEventsRequest{ChatId: p.chat, Start: &v1.ListEventsRequest_BeforeSeq{}}, "before_seq"},
		"garbage":          {&v1.ListEventsRequest{ChatId: p.chat, PageToken: "garbage"}, "page_token"},
		"of another chat":  {&v1.ListEventsRequest{ChatId: other.chat, PageToken: first.GetNextPageToken()}, "page_token"},
		"of another user":  {&v1.ListEventsRequest{ChatId: p.chat, ActorId: p.owner(), PageToken: first.GetNextPageToken()}, "page_token"},
		"of another call":  {&v1.ListEventsRequest{ChatId: p.chat, PageToken: audit.GetNextPageToken()}, "page_token"},
		"cut":              {&v1.ListEventsRequest{ChatId: p.chat, PageToken: first.GetNextPageToken()[:11]}, "page_token"},
		"without a chat":   {&v1.ListEventsRequest{}, "chat_id"},
		"of a wrong actor": {&v1.ListEventsRequest{ChatId: p.chat, ActorId: "a b"}, "actor_id"},
	} {
		_, err := g.log().ListEvents(ctx, test.req)
		isInvalid(t, what, err, test.field)
	}
	for what, test := range map[string]struct {
		req   *v1.ListAuditEventsRequest
		field string
	}{
		"size":               {&v1.ListAuditEventsRequest{ChatId: p.chat, PageSize: 257}, "page_size"},
		"of another call":    {&v1.ListAuditEventsRequest{ChatId: p.chat, PageToken: first.GetNextPageToken()}, "page_token"},
		"of another message": {&v1.ListAuditEventsRequest{ChatId: p.chat, About: &v1.ListAuditEventsRequest_MessageId{MessageId: "m"}, PageToken: audit.GetNextPageToken()}, "page_token"},
		"of another seq":     {&v1.ListAuditEventsRequest{ChatId: p.chat, AtSeq: 1, PageToken: audit.GetNextPageToken()}, "page_token"},
		"user":               {&v1.ListAuditEventsRequest{ChatId: p.chat, About: &v1.ListAuditEventsRequest_UserId{}}, "user_id"},
		"message":            {&v1.ListAuditEventsRequest{ChatId: p.chat, About: &v1.ListAuditEventsRequest_MessageId{}}, "message_id"},
	} {
		_, err := g.log().ListAuditEvents(ctx, test.req)
		isInvalid(t, what, err, test.field)
	}
}

// large is a custom event of almost the largest size.
type large int

func (l large) Custom() (domain.Custom, error) {
	return domain.Custom{Type: "poll:voted", Version: 1, Data: fmt.Sprintf(`{"n":%d,"text":%q}`, l, strings.Repeat("x", 60<<10))}, nil
}

// TestLog_LargeEvents walks events that do not fit into one message of gRPC together.
func TestLog_LargeEvents(t *testing.T) {
	g := newGuarded(t)
	p := g.newPlace()
	const n = 120
	for i := range n {
		if _, err := g.core.Chats.Record(t.Context(), domain.Record{Chat: domain.ChatID(p.chat), Actor: domain.UserID(p.owner()), Event: large(i)}); err != nil {
			t.Fatal(err)
		}
	}
	chat, err := g.core.Queries.Events(t.Context(), domain.ChatID(p.chat), domain.Span{First: true, Limit: 256})
	if err != nil {
		t.Fatal(err)
	}
	for what, req := range map[string]*v1.ListEventsRequest{"latest": {}, "oldest": {Start: &v1.ListEventsRequest_Oldest{Oldest: true}}} {
		req.ChatId, req.PageSize = p.chat, 256
		got, pages := g.walk(req)
		slices.Sort(got)
		if len(slices.Compact(got)) != len(chat) || pages < 3 {
			t.Errorf("%s: %d of %d events in %d pages", what, len(got), len(chat), pages)
		}
	}
	seen := 0
	for req := (&v1.ListAuditEventsRequest{ChatId: p.chat, PageSize: 256}); ; {
		res, err := g.log().ListAuditEvents(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if proto.Size(res) > 4<<20 {
			t.Errorf("a page of %d bytes", proto.Size(res))
		}
		seen += len(res.GetEvents())
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if seen != len(chat) {
		t.Errorf("the audit has %d of %d events", seen, len(chat))
	}
}
