package connect

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore"
	"chatcore/adapters/subscribers/pull"
	"chatcore/domain"
	adminv1 "chatcore/gen/chatcore/admin/v1"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	v1 "chatcore/gen/chatcore/v1"
)

// The enums of the protos, and the values that they stand for.
//
//nolint:gochecknoglobals // never change
var (
	roles = enum[domain.Role, v1.Role]{
		{domain.RoleMember, v1.Role_ROLE_MEMBER}, {domain.RoleAdmin, v1.Role_ROLE_ADMIN}, {domain.RoleOwner, v1.Role_ROLE_OWNER},
	}
	chatKinds    = enum[domain.ChatKind, v1.ChatKind]{{domain.Group, v1.ChatKind_CHAT_KIND_GROUP}, {domain.Direct, v1.ChatKind_CHAT_KIND_DIRECT}}
	visibilities = enum[domain.Visibility, v1.Visibility]{
		{domain.Private, v1.Visibility_VISIBILITY_PRIVATE}, {domain.Public, v1.Visibility_VISIBILITY_PUBLIC},
	}
	changes = enum[domain.Change, v1.ChatChange]{
		{domain.Created, v1.ChatChange_CHAT_CHANGE_CREATED},
		{domain.Renamed, v1.ChatChange_CHAT_CHANGE_RENAMED},
		{domain.MemberAdded, v1.ChatChange_CHAT_CHANGE_MEMBER_ADDED},
		{domain.MemberRemoved, v1.ChatChange_CHAT_CHANGE_MEMBER_REMOVED},
		{domain.RoleChanged, v1.ChatChange_CHAT_CHANGE_ROLE_CHANGED},
		{domain.Archived, v1.ChatChange_CHAT_CHANGE_ARCHIVED},
		{domain.Unarchived, v1.ChatChange_CHAT_CHANGE_UNARCHIVED},
	}
	restrictions = enum[domain.RestrictionKind, v1.Restriction]{
		{domain.Ban, v1.Restriction_RESTRICTION_BAN}, {domain.Mute, v1.Restriction_RESTRICTION_MUTE}, {domain.Block, v1.Restriction_RESTRICTION_BLOCK},
	}
	groupRestrictions = restrictions[:2] // without blocks, which are of direct chats

	admissions = enum[domain.Admission, v1.Admission]{
		{domain.Admitted, v1.Admission_ADMISSION_ADDED},
		{domain.AlreadyMember, v1.Admission_ADMISSION_MEMBER},
		{domain.NotAdmitted, v1.Admission_ADMISSION_BANNED},
		{domain.BlocksActor, v1.Admission_ADMISSION_BLOCKED},
	}
	broadcasts   = enum[domain.Broadcast, v1.Broadcast]{{domain.BroadcastAll, v1.Broadcast_BROADCAST_ALL}, {domain.BroadcastHere, v1.Broadcast_BROADCAST_HERE}}
	notifyLevels = enum[domain.NotifyLevel, v1.NotifyLevel]{
		{domain.NotifyDefault, v1.NotifyLevel_NOTIFY_LEVEL_DEFAULT},
		{domain.NotifyAll, v1.NotifyLevel_NOTIFY_LEVEL_ALL},
		{domain.NotifyMentions, v1.NotifyLevel_NOTIFY_LEVEL_MENTIONS},
		{domain.NotifyNone, v1.NotifyLevel_NOTIFY_LEVEL_NONE},
	}
	hidings = enum[domain.Hiding, v1.Hiding]{
		{domain.Shown, v1.Hiding_HIDING_SHOWN}, {domain.HiddenUntilMessage, v1.Hiding_HIDING_UNTIL_MESSAGE}, {domain.HiddenAlways, v1.Hiding_HIDING_ALWAYS},
	}
	followings = enum[domain.Following, v1.Following]{
		{domain.FollowingDefault, v1.Following_FOLLOWING_DEFAULT}, {domain.Follow, v1.Following_FOLLOWING_FOLLOW}, {domain.Unfollow, v1.Following_FOLLOWING_UNFOLLOW},
	}
	statuses = enum[domain.Status, v1.Status]{
		{domain.Offline, v1.Status_STATUS_OFFLINE}, {domain.Online, v1.Status_STATUS_ONLINE}, {domain.Away, v1.Status_STATUS_AWAY}, {domain.Busy, v1.Status_STATUS_BUSY},
	}
	severities = enum[chatcore.Severity, adminv1.Severity]{
		{chatcore.Danger, adminv1.Severity_SEVERITY_DANGER}, {chatcore.Warning, adminv1.Severity_SEVERITY_WARNING}, {chatcore.Note, adminv1.Severity_SEVERITY_NOTE},
	}
	settleStatuses = enum[pull.Status, consumerv1.SettleStatus]{
		{pull.Done, consumerv1.SettleStatus_SETTLE_STATUS_DONE},
		{pull.Stale, consumerv1.SettleStatus_SETTLE_STATUS_STALE},
		{pull.Unanswered, consumerv1.SettleStatus_SETTLE_STATUS_UNANSWERED},
	}
)

// enum pairs the values of a type with those of an enum of the protos.
type enum[T comparable, P protoEnum] []struct {
	value T
	proto P
}

type protoEnum interface {
	~int32
	protoreflect.Enum
}

// of returns the value of the protos, or unspecified if there is none.
func (e enum[T, P]) of(value T) P {
	for _, pair := range e {
		if pair.value == value {
			return pair.proto
		}
	}
	return 0
}

// parse returns what a value of the protos stands for. It returns a [*domain.InvalidError] for one that is unspecified or unknown, such as a number of a client
// that knows more of them.
func (e enum[T, P]) parse(field string, p P) (T, error) {
	problem := fmt.Sprintf("is %d", p)
	if p == 0 {
		problem = "is not set"
	}
	value, ok := e.find(p)
	if !ok {
		return value, &domain.InvalidError{Field: field, Problem: problem, Allowed: e.names()}
	}
	return value, nil
}

// required is parse of a field of a request.
func (e enum[T, P]) required(in *input, field string, p P) T {
	value, err := e.parse(field, p)
	in.keep(err)
	return value
}

// optional is required of a field that may be missing: unspecified is the zero value.
func (e enum[T, P]) optional(in *input, field string, p P) (value T) {
	if found := e.pointer(in, field, p); found != nil {
		value = *found
	}
	return value
}

// pointer is optional, but returns nil for unspecified.
func (e enum[T, P]) pointer(in *input, field string, p P) *T {
	value, ok := e.find(p)
	if ok {
		return &value
	}
	if p != 0 {
		in.keep(&domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %d", p), Allowed: "unspecified, " + e.names()})
	}
	return nil
}

func (e enum[T, P]) find(p P) (value T, ok bool) {
	for _, pair := range e {
		if pair.proto == p {
			return pair.value, true
		}
	}
	return value, false
}

func (e enum[T, P]) names() string {
	names := make([]string, len(e))
	for i, pair := range e {
		names[i] = string(pair.proto.Descriptor().Values().ByNumber(protoreflect.EnumNumber(pair.proto)).Name())
	}
	return strings.Join(names, ", ")
}
