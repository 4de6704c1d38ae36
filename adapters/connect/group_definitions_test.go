package connect_test

import (
	"context"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "chatcore/gen/chatcore/admin/v1"
	"chatcore/gen/chatcore/admin/v1/adminv1connect"
)

// TestGroups_Definitions defines groups, changes them, and lists them, with repeated calls and with wrong ones.
func TestGroups_Definitions(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		client, ctx, name := adminv1connect.NewGroupServiceClient(w.client(t), w.url), t.Context(), w.id("pull")
		refused := func(call string, err error, code rpc.Code, reason string) {
			t.Helper()
			if got, detail := detailOf(t, err); got != code || detail.GetReason() != reason || detail.GetRetryable() {
				t.Errorf("%s: %v", call, err)
			}
		}
		create := &adminv1.CreateGroupRequest{Group: name, Unordered: true}
		created, err := client.CreateGroup(ctx, create)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := client.CreateGroup(ctx, create); err != nil || !proto.Equal(again, created) {
			t.Errorf("the same again: %v, %v", again, err)
		}
		refused("another group of the name", second(client.CreateGroup(ctx, &adminv1.CreateGroupRequest{Group: name})), rpc.CodeAlreadyExists, "group_defined")
		refused("a group of code", second(client.CreateGroup(ctx, &adminv1.CreateGroupRequest{Group: failing})), rpc.CodeFailedPrecondition, "group_of_code")

		update := &adminv1.UpdateGroupRequest{Group: name, Settings: &adminv1.GroupSettings{Concurrency: 5}, Version: 1}
		updated, err := client.UpdateGroup(ctx, update)
		if err != nil || updated.GetDefinition().GetVersion() != 2 || !updated.GetDefinition().GetUnordered() {
			t.Fatalf("%v, %v", updated, err)
		}
		if again, err := client.UpdateGroup(ctx, update); err != nil || !proto.Equal(again, updated) {
			t.Errorf("the same again: %v, %v", again, err)
		}
		update.Settings.Concurrency = 6
		refused("an earlier version", second(client.UpdateGroup(ctx, update)), rpc.CodeAborted, "definition_changed")
		for range 2 {
			if res, err := client.PauseGroup(ctx, &adminv1.PauseGroupRequest{Group: name}); err != nil || !res.GetDefinition().GetPaused() || res.GetDefinition().GetVersion() != 3 {
				t.Errorf("%v, %v", res, err)
			}
		}
		list, err := client.ListGroups(ctx, &adminv1.ListGroupsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for i, g := range list.GetGroups() {
			if i > 0 && list.GetGroups()[i-1].GetName() >= g.GetName() {
				t.Errorf("%s is listed after %s", g.GetName(), list.GetGroups()[i-1].GetName())
			}
			if g.GetName() == name && g.GetDefinition().GetPaused() && g.GetDefinition().GetSettings().GetConcurrency() == 5 && g.GetMembers() == 0 {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s is listed %d times", name, found)
		}
		for group, want := range map[string]struct {
			code   rpc.Code
			reason string
		}{"no-group": {rpc.CodeNotFound, "group_not_defined"}, failing: {rpc.CodeFailedPrecondition, "group_of_code"}} {
			refused("update", second(client.UpdateGroup(ctx, &adminv1.UpdateGroupRequest{Group: group, Settings: &adminv1.GroupSettings{}})), want.code, want.reason)
			refused("pause", second(client.PauseGroup(ctx, &adminv1.PauseGroupRequest{Group: group})), want.code, want.reason)
			refused("resume", second(client.ResumeGroup(ctx, &adminv1.ResumeGroupRequest{Group: group})), want.code, want.reason)
		}
		isInvalid(t, "update", second(client.UpdateGroup(ctx, &adminv1.UpdateGroupRequest{Group: name})), "settings")
		for field, req := range map[string]*adminv1.CreateGroupRequest{
			"group":                      {},
			"start.time":                 {Group: "x", Start: &adminv1.GroupStart{At: &adminv1.GroupStart_Time{Time: &timestamppb.Timestamp{Seconds: -5}}}},
			"settings.event_types[1]":    {Group: "x", Settings: &adminv1.GroupSettings{EventTypes: []string{"message:new", "typing:start"}}},
			"settings.chat_ids[0]":       {Group: "x", Settings: &adminv1.GroupSettings{ChatIds: []string{"a b"}}},
			"settings.on_poison":         {Group: "x", Unordered: true, Settings: &adminv1.GroupSettings{OnPoison: adminv1.PoisonPolicy_POISON_POLICY_PARK}},
			"settings.concurrency":       {Group: "x", Settings: &adminv1.GroupSettings{Concurrency: 1 << 31}},
			"settings.retry.attempts":    {Group: "x", Settings: &adminv1.GroupSettings{Retry: &adminv1.RetryPolicy{Attempts: 1001}}},
			"settings.retry.first_pause": {Group: "x", Settings: &adminv1.GroupSettings{Retry: &adminv1.RetryPolicy{FirstPause: &durationpb.Duration{}}}},
			"settings.retry.max_pause":   {Group: "x", Settings: &adminv1.GroupSettings{Retry: &adminv1.RetryPolicy{MaxPause: &durationpb.Duration{Seconds: 86401}}}},
		} {
			isInvalid(t, field, second(client.CreateGroup(ctx, req)), field)
		}
		if err := second(client.DeleteGroup(ctx, &adminv1.DeleteGroupRequest{Group: name})); err != nil {
			t.Error(err)
		}
		if _, err := w.core.Definitions().Get(context.WithoutCancel(ctx), name); err == nil {
			t.Error("the definition is still there")
		}
	})
}
