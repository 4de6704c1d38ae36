package connect

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	adminconnect "chatcore/gen/chatcore/admin/v1/adminv1connect"
	"chatcore/ports/groups"
)

// groupService implements chatcore.admin.v1.GroupService.
type groupService struct{ *calls }

var _ adminconnect.GroupServiceHandler = (*groupService)(nil)

// ListGroups also lists groups that were defined and that no process runs yet.
func (s *groupService) ListGroups(ctx context.Context, _ *adminv1.ListGroupsRequest) (*adminv1.ListGroupsResponse, error) {
	definitions, err := s.core.Definitions().List(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.core.Groups().List(ctx)
	if err != nil {
		return nil, err
	}
	var out output
	listed := each(list, out.group)
	for _, d := range definitions {
		i := slices.IndexFunc(listed, func(g *adminv1.Group) bool { return g.GetName() == d.Group })
		if i < 0 {
			i, listed = len(listed), append(listed, &adminv1.Group{Name: d.Group})
		}
		listed[i].Definition = definitionOf(d)
	}
	slices.SortFunc(listed, func(a, b *adminv1.Group) int { return strings.Compare(a.GetName(), b.GetName()) })
	return &adminv1.ListGroupsResponse{Groups: listed}, out.err
}

func (s *groupService) CreateGroup(ctx context.Context, req *adminv1.CreateGroupRequest) (*adminv1.CreateGroupResponse, error) {
	start, err := parseStart("start", req.GetStart())
	if err != nil {
		return nil, err
	}
	d := groups.Definition{Group: req.GetGroup(), Kind: groups.KindPull, Start: start, Unordered: req.GetUnordered()}
	if err := settingsInto(&d, req.GetSettings()); err != nil {
		return nil, err
	}
	defined, err := s.core.Definitions().Create(ctx, d)
	if err != nil {
		return nil, err
	}
	return &adminv1.CreateGroupResponse{Definition: definitionOf(defined)}, nil
}

func (s *groupService) UpdateGroup(ctx context.Context, req *adminv1.UpdateGroupRequest) (*adminv1.UpdateGroupResponse, error) {
	if err := checkGroup(req.GetGroup()); err != nil {
		return nil, err
	}
	if req.GetSettings() == nil {
		return nil, &domain.InvalidError{Field: "settings", Problem: "is not set", Allowed: "all settings of the group; empty ones are the defaults"}
	}
	d, err := s.core.Definitions().Update(ctx, req.GetGroup(), uint64(req.GetVersion()), func(d *groups.Definition) error { return settingsInto(d, req.GetSettings()) })
	if errors.Is(err, chatcore.ErrDefinitionChanged) { // the same call would fail again
		err = finalError{err}
	}
	if err != nil {
		return nil, err
	}
	return &adminv1.UpdateGroupResponse{Definition: definitionOf(d)}, nil
}

func (s *groupService) PauseGroup(ctx context.Context, req *adminv1.PauseGroupRequest) (*adminv1.PauseGroupResponse, error) {
	if err := checkGroup(req.GetGroup()); err != nil {
		return nil, err
	}
	d, err := s.core.Definitions().Pause(ctx, req.GetGroup(), "")
	if err != nil {
		return nil, err
	}
	return &adminv1.PauseGroupResponse{Definition: definitionOf(d)}, nil
}

func (s *groupService) ResumeGroup(ctx context.Context, req *adminv1.ResumeGroupRequest) (*adminv1.ResumeGroupResponse, error) {
	if err := checkGroup(req.GetGroup()); err != nil {
		return nil, err
	}
	d, err := s.core.Definitions().Resume(ctx, req.GetGroup())
	if err != nil {
		return nil, err
	}
	return &adminv1.ResumeGroupResponse{Definition: definitionOf(d)}, nil
}

func (s *groupService) RebuildGroup(ctx context.Context, req *adminv1.RebuildGroupRequest) (*adminv1.RebuildGroupResponse, error) {
	if err := checkGroup(req.GetGroup()); err != nil {
		return nil, err
	}
	return &adminv1.RebuildGroupResponse{}, s.core.Groups().Rebuild(ctx, req.GetGroup())
}

func (s *groupService) DeleteGroup(ctx context.Context, req *adminv1.DeleteGroupRequest) (*adminv1.DeleteGroupResponse, error) {
	if err := checkGroup(req.GetGroup()); err != nil {
		return nil, err
	}
	return &adminv1.DeleteGroupResponse{}, s.core.Groups().Delete(ctx, req.GetGroup())
}

// checkGroup returns a [*domain.InvalidError] for an empty name. Any other that no group has is not found.
func checkGroup(name string) error {
	if name == "" {
		return &domain.InvalidError{Field: "group", Problem: "is empty", Allowed: "the name of a group"}
	}
	return nil
}

// group returns the state of a group. Its lag and its dead letters are the sums over the partitions.
func (o *output) group(state chatcore.GroupState) *adminv1.Group {
	group := &adminv1.Group{Name: state.Group, Members: countOf(state.Members), Partitions: each(state.Partitions, o.partition)}
	letters, parked, age := 0, 0, time.Duration(0)
	for _, p := range state.Partitions {
		group.Lag += p.Lag
		letters, parked, age = letters+p.Letters, parked+p.Parked, max(age, p.Age)
	}
	group.DeadLetters, group.ParkedChats, group.LagAge = countOf(letters), countOf(parked), durationOf(age)
	return group
}

func (o *output) partition(p chatcore.PartitionState) *adminv1.Partition {
	return &adminv1.Partition{
		Stream: p.Stream, Number: int32(max(math.MinInt32, min(p.Partition, math.MaxInt32))), Owner: p.Owner, LeaseUntil: timeOf(p.Until), Epoch: p.Epoch, Position: p.Position, Lag: p.Lag,
		OldestAt: timeOf(p.Oldest), LagAge: durationOf(p.Age), BehindChats: countOf(p.Behind), ParkedChats: countOf(p.Parked), FailingChats: countOf(p.Failing),
		BlockedChats: countOf(p.Blocked), LongestBlocked: each(p.Longest, o.blocked), DeadLetters: countOf(p.Letters), DeadLettersFull: p.LettersFull,
		Scanning: p.CatchesUp, ScannedChats: countOf(p.Walked), ScanChats: countOf(p.Chats), Passed: p.Passed,
	}
}

func (o *output) blocked(b chatcore.BlockedChat) *adminv1.BlockedChat {
	return &adminv1.BlockedChat{ChatId: string(b.Chat), Seq: o.seq(b.Seq), Reason: string(b.Reason), Since: timeOf(b.Since), Error: validText(b.Error)}
}

// durationOf returns a duration, or nil for 0.
func durationOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// countOf returns a count of an administration. One beyond 32 bits is the largest that these have.
func countOf(n int) uint32 { return uint32(max(0, min(n, math.MaxUint32))) }

// validText returns a text of others, which may be any bytes, as the protocols carry it: what is no UTF-8 becomes U+FFFD.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
