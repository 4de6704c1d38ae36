package connect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"chatcore"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	"chatcore/gen/chatcore/admin/v1/adminv1connect"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
	"chatcore/tests/wait"
)

// TestLimits_Take takes calls until a limit is reached. A refusal is a decision.
func TestLimits_Take(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		client, ctx, subject := chatcorev1connect.NewLimitServiceClient(w.client(t), w.url), t.Context(), []string{w.id("address")}
		take := func(count *uint32) *v1.TakeResponse {
			t.Helper()
			res, err := client.Take(ctx, &v1.TakeRequest{Kind: "api", Subject: subject, Count: count})
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		if res := take(nil); !res.GetAllowed() || res.GetRemaining() != 2 {
			t.Errorf("one by default: %v", res)
		}
		if res := take(proto.Uint32(0)); !res.GetAllowed() || res.GetRemaining() != 2 {
			t.Errorf("none: %v", res)
		}
		if res := take(proto.Uint32(3)); res.GetAllowed() || res.GetRetryAfter().AsDuration() <= 0 {
			t.Errorf("more than remain: %v", res)
		}
		if res := take(proto.Uint32(2)); !res.GetAllowed() || res.GetRemaining() != 0 || res.GetRetryAfter() != nil {
			t.Errorf("the rest: %v", res)
		}
		long := strings.Repeat("x", 257)
		for what, test := range map[string]struct {
			req   *v1.TakeRequest
			field string
		}{
			"an unknown kind":    {&v1.TakeRequest{Kind: "nonsense", Subject: subject}, "kind"},
			"no kind":            {&v1.TakeRequest{Subject: subject}, "kind"},
			"no subject":         {&v1.TakeRequest{Kind: "api"}, "subject"},
			"a long subject":     {&v1.TakeRequest{Kind: "api", Subject: []string{long}}, "subject"},
			"an empty part":      {&v1.TakeRequest{Kind: "api", Subject: []string{"a", ""}}, "subject"},
			"many parts":         {&v1.TakeRequest{Kind: "api", Subject: []string{"a", "b", "c", "d"}}, "subject"},
			"more than the rate": {&v1.TakeRequest{Kind: "api", Subject: subject, Count: proto.Uint32(4)}, "count"},
		} {
			_, err := client.Take(ctx, test.req)
			isInvalid(t, what, err, test.field)
			if _, d := detailOf(t, err); test.field == "kind" && !strings.Contains(d.GetAllowed(), "api") {
				t.Errorf("%s: the kinds are %q", what, d.GetAllowed())
			}
		}
	})
}

// TestDeadLetters_Pages walks dead letters of a size that does not fit into one message of gRPC, in pages of each size.
func TestDeadLetters_Pages(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		client, ctx, chat := adminv1connect.NewDeadLetterServiceClient(w.client(t), w.url), t.Context(), chatID(w.chat(t))
		const n = 90
		for range n {
			if _, err := w.core.Chats.Record(ctx, domain.Record{Chat: chat, Actor: "ada", Event: large(0)}); err != nil {
				t.Fatal(err)
			}
		}
		var all []string
		wait.Until(t, "the dead letters are there", func() bool {
			all = nil
			for d, err := range w.core.Groups().DeadLetters(ctx, failing) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, d.ID)
			}
			return len(all) == n
		})
		for _, size := range []uint32{0, 1, 7, n - 1, n, n + 1, 256} {
			var got []string
			for req := (&adminv1.ListDeadLettersRequest{Group: failing, PageSize: size}); ; {
				res, err := client.ListDeadLetters(ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				if page := len(res.GetDeadLetters()); page == 0 || size > 0 && page > int(size) || proto.Size(res) > 4<<20 {
					t.Errorf("a page of %d, in %d bytes", page, proto.Size(res))
				}
				for _, d := range res.GetDeadLetters() {
					got = append(got, d.GetId())
				}
				if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
					break
				}
			}
			if !slices.Equal(got, all) {
				t.Errorf("%d a page: %v, want %v", size, got, all)
			}
		}
		empty, err := client.ListDeadLetters(ctx, &adminv1.ListDeadLettersRequest{Group: "doomed-0"})
		if err != nil || len(empty.GetDeadLetters()) > 0 || empty.GetNextPageToken() != "" {
			t.Errorf("of a group without dead letters: %v, %v", empty, err)
		}
	})
}

// TestAdmin_Errors names groups and dead letters that do not exist, or cannot.
func TestAdmin_Errors(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		ctx, d := t.Context(), w.letter(t)
		letters, groups := adminv1connect.NewDeadLetterServiceClient(w.client(t), w.url), adminv1connect.NewGroupServiceClient(w.client(t), w.url)
		of := func(group, id string) map[string]error {
			return map[string]error{
				"get":   second(letters.GetDeadLetter(ctx, &adminv1.GetDeadLetterRequest{Group: group, Id: id})),
				"retry": second(letters.RetryDeadLetter(ctx, &adminv1.RetryDeadLetterRequest{Group: group, Id: id})),
				"drop":  second(letters.DropDeadLetter(ctx, &adminv1.DropDeadLetterRequest{Group: group, Id: id})),
			}
		}
		for call, err := range of("", d.ID) {
			isInvalid(t, call, err, "group")
		}
		for _, id := range []string{"", "nonsense", "-1"} {
			for call, err := range of(failing, id) {
				isInvalid(t, fmt.Sprintf("%s %q", call, id), err, "id")
			}
		}
		for group, reason := range map[string]string{"doomed-0": "dead_letter_not_found", "no-group": "group_not_found"} {
			for call, err := range of(group, d.ID) {
				if code, detail := detailOf(t, err); code != rpc.CodeNotFound || detail.GetReason() != reason {
					t.Errorf("%s in %s: %v", call, group, err)
				}
			}
		}
		isInvalid(t, "rebuild", second(groups.RebuildGroup(ctx, &adminv1.RebuildGroupRequest{})), "group")
		isInvalid(t, "delete", second(groups.DeleteGroup(ctx, &adminv1.DeleteGroupRequest{})), "group")
		isInvalid(t, "list", second(letters.ListDeadLetters(ctx, &adminv1.ListDeadLettersRequest{})), "group")
		isInvalid(t, "list", second(letters.ListDeadLetters(ctx, &adminv1.ListDeadLettersRequest{Group: failing, PageToken: "nonsense"})), "page_token")
		isInvalid(t, "list", second(letters.ListDeadLetters(ctx, &adminv1.ListDeadLettersRequest{Group: failing, PageSize: 257})), "page_size")
		for call, err := range map[string]error{
			"rebuild": second(groups.RebuildGroup(ctx, &adminv1.RebuildGroupRequest{Group: "no-group"})),
			"delete":  second(groups.DeleteGroup(ctx, &adminv1.DeleteGroupRequest{Group: "no-group"})),
			"list":    second(letters.ListDeadLetters(ctx, &adminv1.ListDeadLettersRequest{Group: "no-group"})),
		} {
			if code, detail := detailOf(t, err); code != rpc.CodeNotFound || detail.GetReason() != "group_not_found" {
				t.Errorf("%s: %v", call, err)
			}
		}
	})
}

// TestAdmin_Findings has one severity of the API for each of the core.
func TestAdmin_Findings(t *testing.T) {
	w := redisWorld(t, worldConfig{})
	client := adminv1connect.NewHealthServiceClient(w.client(t), w.url)
	want := w.core.Health(t.Context()).Findings()
	res, err := client.ListFindings(t.Context(), &adminv1.ListFindingsRequest{})
	if err != nil || len(want) == 0 {
		t.Fatal(len(want), err)
	}
	severities := map[chatcore.Severity]adminv1.Severity{
		chatcore.Danger: adminv1.Severity_SEVERITY_DANGER, chatcore.Warning: adminv1.Severity_SEVERITY_WARNING, chatcore.Note: adminv1.Severity_SEVERITY_NOTE,
	}
	for _, f := range want {
		if !slices.ContainsFunc(res.GetFindings(), func(got *adminv1.Finding) bool {
			return got.GetCode() == f.Code && got.GetSeverity() == severities[f.Severity] && got.GetRemedy() == f.Remedy && got.GetWhy() == f.Why && got.GetServer() == f.Server
		}) {
			t.Errorf("%+v is not among %v", f, res.GetFindings())
		}
	}
}
