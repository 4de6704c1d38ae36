package connect

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	"chatcore/ports/groups"
)

// settingsInto sets the options of a definition that may be changed to those of a request, all of them. nil settings are the defaults.
func settingsInto(d *groups.Definition, s *adminv1.GroupSettings) (err error) {
	d.Filter = groups.Filter{Types: s.GetEventTypes(), Chats: ids[domain.ChatID](s.GetChatIds())}
	d.Concurrency = int(s.GetConcurrency())
	if d.Park, err = parsePoison("settings.on_poison", s.GetOnPoison()); err != nil {
		return err
	}
	d.Retry = groups.Retry{Attempts: int(s.GetRetry().GetAttempts())}
	if d.Retry.First, err = parsePause("settings.retry.first_pause", s.GetRetry().GetFirstPause()); err != nil {
		return err
	}
	d.Retry.Max, err = parsePause("settings.retry.max_pause", s.GetRetry().GetMaxPause())
	return err
}

// ids returns texts as ids, which are not checked.
func ids[T ~string](list []string) []T {
	out := make([]T, len(list))
	for i, s := range list {
		out[i] = T(s)
	}
	return out
}

// parsePoison reports whether a policy parks chats.
func parsePoison(field string, p adminv1.PoisonPolicy) (park bool, err error) {
	switch p {
	case adminv1.PoisonPolicy_POISON_POLICY_UNSPECIFIED, adminv1.PoisonPolicy_POISON_POLICY_SKIP:
		return false, nil
	case adminv1.PoisonPolicy_POISON_POLICY_PARK:
		return true, nil
	}
	return false, &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %d", p), Allowed: strings.Join(enumNames(p.Descriptor()), ", ")}
}

// parsePause returns a pause of a retry policy, 0 if it is not set.
func parsePause(field string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if pause := d.AsDuration(); d.CheckValid() == nil && pause >= groups.MinPause && pause <= groups.MaxPause {
		return pause, nil
	}
	return 0, &domain.InvalidError{
		Field: field, Problem: fmt.Sprintf("is %d.%09ds", d.GetSeconds(), d.GetNanos()), Allowed: fmt.Sprintf("%v to %v, or not set for the default", groups.MinPause, groups.MaxPause),
	}
}

// parseStart returns where a new group starts.
func parseStart(field string, s *adminv1.GroupStart) (groups.Start, error) {
	switch at := s.GetAt().(type) {
	case *adminv1.GroupStart_Beginning:
		return groups.Start{Beginning: at.Beginning}, nil
	case *adminv1.GroupStart_Time:
		if at.Time.CheckValid() != nil {
			return groups.Start{}, &domain.InvalidError{Field: field + ".time", Problem: "is no time", Allowed: "a time from 1970 to 9999"}
		}
		return groups.Start{At: at.Time.AsTime()}, nil
	}
	return groups.Start{}, nil
}

// definitionOf returns a definition of a group with its defaults. A definition that cannot be read has no kind.
func definitionOf(d groups.Definition) *adminv1.GroupDefinition {
	out := &adminv1.GroupDefinition{
		Version: uint32(min(d.Version, math.MaxUint32)), //nolint:gosec // bounded
		Start:   startOf(d.Start), Unordered: d.Unordered, Paused: d.Paused, PauseReason: validText(d.PauseReason),
		CreatedAt: timeOf(d.CreatedAt), UpdatedAt: timeOf(d.UpdatedAt),
	}
	switch d.Kind {
	case groups.KindPull:
		out.Kind = adminv1.GroupKind_GROUP_KIND_PULL
	case groups.KindWebhook:
		out.Kind = adminv1.GroupKind_GROUP_KIND_WEBHOOK
	default:
		return out
	}
	d = d.WithDefaults()
	out.Settings = &adminv1.GroupSettings{
		EventTypes: d.Filter.Types, ChatIds: texts(d.Filter.Chats), OnPoison: adminv1.PoisonPolicy_POISON_POLICY_SKIP, Concurrency: countOf(d.Concurrency),
		Retry: &adminv1.RetryPolicy{Attempts: countOf(d.Retry.Attempts), FirstPause: durationOf(d.Retry.First), MaxPause: durationOf(d.Retry.Max)},
	}
	if d.Park {
		out.Settings.OnPoison = adminv1.PoisonPolicy_POISON_POLICY_PARK
	}
	return out
}

// startOf returns where a group started, or nil for the next event.
func startOf(s groups.Start) *adminv1.GroupStart {
	switch {
	case s.Beginning:
		return &adminv1.GroupStart{At: &adminv1.GroupStart_Beginning{Beginning: true}}
	case !s.At.IsZero():
		return &adminv1.GroupStart{At: &adminv1.GroupStart_Time{Time: timeOf(s.At)}}
	}
	return nil
}
