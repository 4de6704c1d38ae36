package connect_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
)

// retentionRows has the methods of RetentionService and ErasureService.
func retentionRows() map[string]row {
	const rules, erasures = "chatcore.admin.v1.RetentionService.", "chatcore.admin.v1.ErasureService."
	hold := func(t *testing.T, w *world, chat string) domain.Hold {
		t.Helper()
		h := domain.Hold{HoldSubject: domain.HoldSubject{Chat: domain.ChatID(chat)}, ID: "case", Reason: "a claim", By: "legal"}
		if err := w.core.Retention.AddHold(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	held := func(t *testing.T, w *world, chat string) bool {
		t.Helper()
		holds, err := w.core.Retention.Holds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(holds, func(h domain.Hold) bool {
			return string(h.Chat) == chat && h.ID == "case" && h.Reason == "a claim" && h.By == "legal"
		})
	}
	return map[string]row{
		rules + "SetRetention": {prepare: func(_ *testing.T, w *world) prepared {
			chat := w.id("kept")
			req := &adminv1.SetRetentionRequest{ChatId: chat, ActorId: "ops", Keeps: &adminv1.Retention{MaxAge: durationpb.New(time.Hour), MaxMessages: 7}}
			return expect(req, func(t *testing.T, res *adminv1.SetRetentionResponse) {
				p := res.GetPolicy()
				if p.GetChatId() != chat || p.GetKeeps().GetMaxAge().AsDuration() != time.Hour || p.GetKeeps().GetMaxMessages() != 7 || p.GetSetBy() != "ops" ||
					p.GetEffectiveAt().AsTime().Sub(p.GetSetAt().AsTime()) != domain.RetentionGrace {
					t.Errorf("the policy is %v", p)
				}
			})
		}},
		rules + "ListRetention": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.id("kept")
			if _, err := w.core.Retention.SetPolicy(t.Context(), domain.ChatID(chat), domain.Retention{MaxMessages: 3}, "ops"); err != nil {
				t.Fatal(err)
			}
			return expect(&adminv1.ListRetentionRequest{}, func(t *testing.T, res *adminv1.ListRetentionResponse) {
				if all := res.GetPolicies(); len(all) < 2 || all[0].GetChatId() != "" || !slices.ContainsFunc(all, func(p *adminv1.RetentionPolicy) bool {
					return p.GetChatId() == chat && p.GetKeeps().GetMaxMessages() == 3 && p.GetApplied() != nil && p.GetApplied().GetMaxMessages() == 0
				}) {
					t.Errorf("the policies are %v", all)
				}
			})
		}},
		rules + "ClearRetention": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.id("kept")
			if _, err := w.core.Retention.SetPolicy(t.Context(), domain.ChatID(chat), domain.Retention{MaxMessages: 3}, "ops"); err != nil {
				t.Fatal(err)
			}
			return expect(&adminv1.ClearRetentionRequest{ChatId: chat, ActorId: "ops"}, func(t *testing.T, _ *adminv1.ClearRetentionResponse) {
				all, err := w.core.Retention.Status(t.Context(), false)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range all {
					if string(s.Chat) == chat {
						t.Errorf("the chat has the policy %+v", s)
					}
				}
			})
		}},
		rules + "AddHold": {prepare: func(_ *testing.T, w *world) prepared {
			chat := w.id("held")
			return expect(&adminv1.AddHoldRequest{Id: "case", ChatId: chat, Reason: "a claim", ActorId: "legal"}, func(t *testing.T, _ *adminv1.AddHoldResponse) {
				if !held(t, w, chat) {
					t.Error("there is no hold")
				}
			})
		}},
		rules + "RemoveHold": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.id("held")
			hold(t, w, chat)
			return expect(&adminv1.RemoveHoldRequest{Id: "case", ChatId: chat}, func(t *testing.T, _ *adminv1.RemoveHoldResponse) {
				if held(t, w, chat) {
					t.Error("the hold is there")
				}
			})
		}},
		rules + "ListHolds": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.id("held")
			hold(t, w, chat)
			return expect(&adminv1.ListHoldsRequest{}, func(t *testing.T, res *adminv1.ListHoldsResponse) {
				if !slices.ContainsFunc(res.GetHolds(), func(h *adminv1.Hold) bool {
					return h.GetChatId() == chat && h.GetId() == "case" && h.GetReason() == "a claim" && h.GetSetBy() == "legal" && h.GetSetAt() != nil
				}) {
					t.Errorf("the holds are %v", res.GetHolds())
				}
			})
		}},
		erasures + "Erase": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			message := w.message(t, chat)
			return expect(&adminv1.EraseRequest{ChatId: chat, MessageId: message, ActorId: "support", Reason: "request 7"}, func(t *testing.T, res *adminv1.EraseResponse) {
				m, err := w.core.Queries.Message(t.Context(), domain.ChatID(chat), domain.MessageID(message))
				if err != nil || !m.Erased || res.GetSeq() == 0 {
					t.Errorf("the message is %+v, %v; the response %v", m, err, res)
				}
			})
		}},
		erasures + "EraseUser": {prepare: func(t *testing.T, w *world) prepared {
			chat, user := w.id("chat"), domain.UserID(w.id("gone"))
			if _, err := w.core.Chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(chat), Actor: user}); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := w.core.Chats.Send(t.Context(), domain.Send{
					Chat: domain.ChatID(chat), Actor: user, Content: "hello", Attachments: []domain.Attachment{{Name: "a", URL: "https://example.org/a"}},
				}); err != nil {
					t.Fatal(err)
				}
			}
			return expect(&adminv1.EraseUserRequest{UserId: string(user), ActorId: "support", MaxMessages: 2}, func(t *testing.T, res *adminv1.EraseUserResponse) {
				if res.GetErased() != 2 || res.GetDone() || len(res.GetFiles()) != 2 {
					t.Errorf("the response is %v", res)
				}
			})
		}},
		erasures + "VerifyErasure": {prepare: func(t *testing.T, w *world) prepared {
			chat := w.chat(t)
			return expect(&adminv1.VerifyErasureRequest{ChatId: chat, MessageId: w.message(t, chat)}, func(t *testing.T, res *adminv1.VerifyErasureResponse) {
				if places := res.GetPlaces(); len(places) < 5 || places[0].GetPlace() != "log" || places[0].GetStatus() != adminv1.ErasureStatus_ERASURE_STATUS_PENDING || places[0].GetDetail() == "" {
					t.Errorf("the places are %v", places)
				}
			})
		}},
	}
}
