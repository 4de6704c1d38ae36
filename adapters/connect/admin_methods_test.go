package connect_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports/groups"
	"chatcore/tests/wait"
)

// Groups of every world. The handler of failing refuses messages with the content poison.
const (
	failing = "failing"
	doomed  = 16 // number of the groups doomed-0 and so on, of which each test of a deletion takes one
	poison  = "poison"

	largeFrom = 32 << 10 // bytes of custom events that the handler refuses as well
)

func subscribeFailing(core *chatcore.Core) error {
	refuse := chatcore.Permanent(errors.New("refused \xff")) // text that is no UTF-8
	errs := []error{core.Subscribe(failing, chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		if d.Event.Content == poison {
			return refuse
		}
		return nil
	}), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Custom]) error {
		if len(d.Event.Data) > largeFrom {
			return refuse
		}
		return nil
	}))}
	for i := range doomed {
		errs = append(errs, core.Subscribe(fmt.Sprint("doomed-", i)))
	}
	return errors.Join(errs...)
}

// limited returns limits with those that the tests of LimitService take from.
func limited(rates map[string]app.Limit) map[string]app.Limit {
	all := map[string]app.Limit{"api": {Rate: 3, Per: time.Hour}}
	maps.Copy(all, rates)
	return all
}

// group returns the state of a group, and whether it exists.
func (w *world) group(t *testing.T, name string) (chatcore.GroupState, bool) {
	t.Helper()
	list, err := w.core.Groups().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if g.Group == name {
			return g, true
		}
	}
	return chatcore.GroupState{}, false
}

// lag returns the entries and events that a group has not finished.
func (w *world) lag(t *testing.T, name string) (n uint64) {
	t.Helper()
	state, exists := w.group(t, name)
	if !exists {
		t.Fatalf("there is no group %s", name)
	}
	for _, p := range state.Partitions {
		n += p.Lag
	}
	return n
}

// nextDoomed returns a group that no test has taken.
func (w *world) nextDoomed(t *testing.T) string {
	t.Helper()
	name := fmt.Sprint("doomed-", w.doomed.Add(1)-1)
	wait.Until(t, "the group exists", func() bool { _, ok := w.group(t, name); return ok })
	return name
}

// defined returns a new pull group.
func (w *world) defined(t *testing.T) string {
	t.Helper()
	name := w.id("pull")
	if _, err := w.core.Definitions().Create(t.Context(), groups.Definition{Group: name, Kind: groups.KindPull}); err != nil {
		t.Fatal(err)
	}
	return name
}

// letter returns a new dead letter of the group failing.
func (w *world) letter(t *testing.T) chatcore.DeadLetter {
	t.Helper()
	chat := w.chat(t)
	if _, err := w.core.Chats.Send(t.Context(), domain.Send{Chat: chatID(chat), Actor: "ada", Content: poison}); err != nil {
		t.Fatal(err)
	}
	var found chatcore.DeadLetter
	wait.Until(t, "the dead letter is there", func() bool {
		for d, err := range w.core.Groups().DeadLetters(t.Context(), failing) {
			if err == nil && d.Chat == chatID(chat) {
				found = d
				return true
			}
		}
		return false
	})
	return found
}

func adminRows() map[string]row {
	rows := groupRows()
	maps.Copy(rows, webhookRows())
	maps.Copy(rows, retentionRows())
	const letters, health = "chatcore.admin.v1.DeadLetterService.", "chatcore.admin.v1.HealthService."
	maps.Copy(rows, map[string]row{
		letters + "ListDeadLetters": {prepare: func(t *testing.T, w *world) prepared {
			d := w.letter(t)
			return expect(&adminv1.ListDeadLettersRequest{Group: failing, PageSize: 256}, func(t *testing.T, res *adminv1.ListDeadLettersResponse) {
				for _, letter := range res.GetDeadLetters() {
					if letter.GetId() == d.ID {
						isLetter(t, letter, d)
						return
					}
				}
				t.Errorf("%s is not among %d dead letters", d.ID, len(res.GetDeadLetters()))
			})
		}},
		letters + "GetDeadLetter": {prepare: func(t *testing.T, w *world) prepared {
			d := w.letter(t)
			return expect(&adminv1.GetDeadLetterRequest{Group: failing, Id: d.ID}, func(t *testing.T, res *adminv1.GetDeadLetterResponse) { isLetter(t, res.GetDeadLetter(), d) })
		}},
		letters + "RetryDeadLetter": {prepare: func(t *testing.T, w *world) prepared {
			d := w.letter(t)
			return expect(&adminv1.RetryDeadLetterRequest{Group: failing, Id: d.ID}, func(t *testing.T, _ *adminv1.RetryDeadLetterResponse) {
				wait.Until(t, "it was tried again", func() bool {
					again, err := w.core.Groups().DeadLetter(t.Context(), failing, d.ID)
					return err == nil && again.Attempts > d.Attempts
				})
			})
		}},
		letters + "DropDeadLetter": {prepare: func(t *testing.T, w *world) prepared {
			d := w.letter(t)
			return expect(&adminv1.DropDeadLetterRequest{Group: failing, Id: d.ID}, func(t *testing.T, _ *adminv1.DropDeadLetterResponse) {
				if _, err := w.core.Groups().DeadLetter(t.Context(), failing, d.ID); !errors.Is(err, chatcore.ErrDeadLetterNotFound) {
					t.Errorf("it is still there: %v", err)
				}
			})
		}},
		health + "GetHealth": {prepare: func(*testing.T, *world) prepared {
			return expect(&adminv1.GetHealthRequest{}, func(t *testing.T, res *adminv1.GetHealthResponse) {
				if !res.GetReady() || res.GetNotReady() != "" || res.GetVersion() != chatcore.Version || res.GetAt() == nil {
					t.Errorf("the health is %v", res)
				}
				for _, s := range res.GetLogServers() {
					if s.GetError() != "" || s.GetAddress() == "" || s.GetMemoryUsed() == 0 {
						t.Errorf("a server is %v", s)
					}
				}
			})
		}},
		health + "ListFindings": {prepare: func(*testing.T, *world) prepared {
			return expect(&adminv1.ListFindingsRequest{}, func(t *testing.T, res *adminv1.ListFindingsResponse) {
				for _, f := range res.GetFindings() {
					if f.GetSeverity() == adminv1.Severity_SEVERITY_UNSPECIFIED || f.GetCode() == "" || f.GetWhat() == "" {
						t.Errorf("a finding is %v", f)
					}
				}
			})
		}},
	})
	return rows
}

// isLetter compares a dead letter of the API with that of the core.
func isLetter(t *testing.T, got *adminv1.DeadLetter, d chatcore.DeadLetter) {
	t.Helper()
	if got.GetId() != d.ID || got.GetGroup() != failing || got.GetReason() != "refused \uFFFD" || got.GetFirstReason() != "refused \uFFFD" || got.GetAttempts() != uint32(d.Attempts) ||
		got.GetChatId() != string(d.Chat) || got.GetSeq() != uint32(d.Seq) || got.GetEventId() != string(d.EventID) || string(got.GetPayload()) != string(d.Payload) ||
		!got.GetCreatedAt().AsTime().Equal(d.At) || got.GetFailedAt() != nil || len(got.GetMetadata()) != len(d.Metadata) || got.GetParked() || got.GetRetrying() {
		t.Errorf("the dead letter is %v, want %+v", got, d)
	}
}

func groupRows() map[string]row {
	const service = "chatcore.admin.v1.GroupService."
	return map[string]row{
		service + "ListGroups": {prepare: func(t *testing.T, w *world) prepared {
			w.letter(t)
			return expect(&adminv1.ListGroupsRequest{}, func(t *testing.T, res *adminv1.ListGroupsResponse) {
				for _, g := range res.GetGroups() {
					if g.GetName() == failing && g.GetDefinition() == nil && g.GetMembers() == 1 && g.GetDeadLetters() > 0 && len(g.GetPartitions()) > 0 && g.GetPartitions()[0].GetStream() != "" {
						return
					}
				}
				t.Errorf("the groups are %v", res)
			})
		}},
		service + "CreateGroup": {prepare: func(t *testing.T, w *world) prepared {
			settings := &adminv1.GroupSettings{
				EventTypes: []string{"message:new", "poll:made"}, ChatIds: []string{"c"}, OnPoison: adminv1.PoisonPolicy_POISON_POLICY_PARK, Concurrency: 7,
				Retry: &adminv1.RetryPolicy{Attempts: 3, FirstPause: durationpb.New(time.Second), MaxPause: durationpb.New(time.Hour)},
			}
			start := &adminv1.GroupStart{At: &adminv1.GroupStart_Beginning{Beginning: true}}
			name := w.id("pull")
			return expect(&adminv1.CreateGroupRequest{Group: name, Start: start, Settings: settings}, func(t *testing.T, res *adminv1.CreateGroupResponse) {
				d := res.GetDefinition()
				if d.GetKind() != adminv1.GroupKind_GROUP_KIND_PULL || d.GetVersion() != 1 || !proto.Equal(d.GetSettings(), settings) || !proto.Equal(d.GetStart(), start) || d.GetCreatedAt() == nil {
					t.Errorf("the definition is %v", d)
				}
				if _, exists := w.group(t, name); !exists {
					t.Error("the group does not exist")
				}
			})
		}},
		service + "UpdateGroup": {prepare: func(t *testing.T, w *world) prepared {
			name := w.defined(t)
			settings := &adminv1.GroupSettings{ChatIds: []string{"c"}, Concurrency: 3}
			return expect(&adminv1.UpdateGroupRequest{Group: name, Settings: settings, Version: 1}, func(t *testing.T, res *adminv1.UpdateGroupResponse) {
				d := res.GetDefinition()
				if d.GetVersion() != 2 || d.GetSettings().GetConcurrency() != 3 || d.GetSettings().GetChatIds()[0] != "c" || d.GetSettings().GetRetry().GetAttempts() != 10 {
					t.Errorf("the definition is %v", d)
				}
			})
		}},
		service + "PauseGroup": {prepare: func(t *testing.T, w *world) prepared {
			return expect(&adminv1.PauseGroupRequest{Group: w.defined(t)}, func(t *testing.T, res *adminv1.PauseGroupResponse) {
				if d := res.GetDefinition(); !d.GetPaused() || d.GetPauseReason() != "" {
					t.Errorf("the definition is %v", d)
				}
			})
		}},
		service + "ResumeGroup": {prepare: func(t *testing.T, w *world) prepared {
			name := w.defined(t)
			if _, err := w.core.Definitions().Pause(t.Context(), name, "why"); err != nil {
				t.Fatal(err)
			}
			return expect(&adminv1.ResumeGroupRequest{Group: name}, func(t *testing.T, res *adminv1.ResumeGroupResponse) {
				if d := res.GetDefinition(); d.GetPaused() || d.GetPauseReason() != "" || d.GetVersion() != 3 {
					t.Errorf("the definition is %v", d)
				}
			})
		}},
		service + "RebuildGroup": {prepare: func(t *testing.T, w *world) prepared {
			name := w.nextDoomed(t)
			before, _ := w.group(t, name)
			return expect(&adminv1.RebuildGroupRequest{Group: name}, func(t *testing.T, _ *adminv1.RebuildGroupResponse) {
				if after, _ := w.group(t, name); after.Partitions[0].Epoch <= before.Partitions[0].Epoch {
					t.Errorf("the epoch is %d, was %d", after.Partitions[0].Epoch, before.Partitions[0].Epoch)
				}
			})
		}},
		service + "DeleteGroup": {prepare: func(t *testing.T, w *world) prepared {
			name := w.nextDoomed(t)
			return expect(&adminv1.DeleteGroupRequest{Group: name}, func(t *testing.T, _ *adminv1.DeleteGroupResponse) {
				if _, ok := w.group(t, name); ok {
					t.Error("the group is still there")
				}
			})
		}},
	}
}

func limitRows() map[string]row {
	return map[string]row{
		"chatcore.v1.LimitService.Take": {prepare: func(t *testing.T, w *world) prepared {
			subject := []string{w.id("address"), "ada"}
			return expect(&v1.TakeRequest{Kind: "api", Subject: subject, Count: proto.Uint32(2)}, func(t *testing.T, res *v1.TakeResponse) {
				if !res.GetAllowed() || res.GetRemaining() != 1 || res.GetRetryAfter() != nil || res.GetResetAfter().AsDuration() <= 0 {
					t.Errorf("the decision is %v", res)
				}
			})
		}},
	}
}
