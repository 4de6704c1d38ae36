package connect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func chatKindOf(k domain.ChatKind) v1.ChatKind {
	switch k {
	case domain.Group:
		return v1.ChatKind_CHAT_KIND_GROUP
	case domain.Direct:
		return v1.ChatKind_CHAT_KIND_DIRECT
	}
	return v1.ChatKind_CHAT_KIND_UNSPECIFIED
}

// visibilityOf returns a visibility, of which 0 is unspecified.
func visibilityOf(v domain.Visibility) v1.Visibility {
	switch v {
	case domain.Private:
		return v1.Visibility_VISIBILITY_PRIVATE
	case domain.Public:
		return v1.Visibility_VISIBILITY_PUBLIC
	}
	return v1.Visibility_VISIBILITY_UNSPECIFIED
}

func restrictionOf(k domain.RestrictionKind) v1.Restriction {
	switch k {
	case domain.Ban:
		return v1.Restriction_RESTRICTION_BAN
	case domain.Mute:
		return v1.Restriction_RESTRICTION_MUTE
	case domain.Block:
		return v1.Restriction_RESTRICTION_BLOCK
	}
	return v1.Restriction_RESTRICTION_UNSPECIFIED
}

func admissionOf(a domain.Admission) v1.Admission {
	switch a {
	case domain.Admitted:
		return v1.Admission_ADMISSION_ADDED
	case domain.AlreadyMember:
		return v1.Admission_ADMISSION_MEMBER
	case domain.NotAdmitted:
		return v1.Admission_ADMISSION_BANNED
	case domain.BlocksActor:
		return v1.Admission_ADMISSION_BLOCKED
	}
	return v1.Admission_ADMISSION_UNSPECIFIED
}

// permissionsOf returns the roles of actions by the names of the actions; the default is unspecified.
func permissionsOf(permissions map[domain.Action]domain.Role) map[string]v1.Role {
	if len(permissions) == 0 {
		return nil
	}
	roles := make(map[string]v1.Role, len(permissions))
	for action, role := range permissions {
		roles[wireformat.ActionName(action)] = roleOf(role)
	}
	return roles
}

// visibility reads a visibility; unspecified is 0.
func (in *input) visibility(v v1.Visibility) domain.Visibility {
	switch v {
	case v1.Visibility_VISIBILITY_UNSPECIFIED:
		return 0
	case v1.Visibility_VISIBILITY_PRIVATE:
		return domain.Private
	case v1.Visibility_VISIBILITY_PUBLIC:
		return domain.Public
	}
	in.keep(&domain.InvalidError{Field: "visibility", Problem: fmt.Sprintf("is %d", v), Allowed: "unspecified, " + strings.Join(enumNames(v.Descriptor()), ", ")})
	return 0
}

// restriction reads a ban or a mute.
func (in *input) restriction(r v1.Restriction) domain.RestrictionKind {
	switch r {
	case v1.Restriction_RESTRICTION_BAN:
		return domain.Ban
	case v1.Restriction_RESTRICTION_MUTE:
		return domain.Mute
	case v1.Restriction_RESTRICTION_UNSPECIFIED, v1.Restriction_RESTRICTION_BLOCK:
	}
	in.keep(&domain.InvalidError{Field: "restriction", Problem: "is " + r.String(), Allowed: "RESTRICTION_BAN, RESTRICTION_MUTE; BlockUser is for direct chats"})
	return 0
}

// permissions reads the roles of actions; an unspecified role is the default.
func (in *input) permissions(roles map[string]v1.Role) map[domain.Action]domain.Role {
	if len(roles) == 0 {
		return nil
	}
	permissions := make(map[domain.Action]domain.Role, len(roles))
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		action, ok := wireformat.ParseAction(name)
		if !ok {
			in.keep(&domain.InvalidError{Field: "permissions", Problem: fmt.Sprintf("have the action %.80q", name), Allowed: strings.Join(wireformat.ActionNames(), ", ")})
		}
		role := domain.NoRole
		if roles[name] != v1.Role_ROLE_UNSPECIFIED {
			var err error
			role, err = parseRole("permissions."+name, roles[name])
			in.keep(err)
		}
		permissions[action] = role
	}
	return permissions
}

// optionalTime reads a time that may be missing.
func (in *input) optionalTime(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		in.keep(&domain.InvalidError{Field: field, Problem: "is no time", Allowed: "a time in the years 1 to 9999"})
		return time.Time{}
	}
	return t.AsTime()
}

func restrictedOf(r app.Restricted) *v1.RestrictedUser {
	return &v1.RestrictedUser{
		UserId: string(r.User), Restriction: restrictionOf(r.Kind), ByUserId: string(r.By), Since: timeOf(r.Since), Until: timeOf(r.Until), Reason: string(r.Reason),
	}
}

// participantsOf returns the participants of a direct chat, sorted.
func participantsOf(c domain.Chat) []string {
	if c.Kind != domain.Direct {
		return nil
	}
	participants := texts(c.Participants[:])
	slices.Sort(participants)
	return slices.Compact(participants)
}

// valuesOf returns values of metadata as text.
func valuesOf(values map[string]domain.JSON) map[string]string {
	if len(values) == 0 {
		return nil
	}
	texts := make(map[string]string, len(values))
	for key, value := range values {
		texts[key] = string(value)
	}
	return texts
}

func broadcastOf(b domain.Broadcast) v1.Broadcast {
	switch b {
	case domain.BroadcastAll:
		return v1.Broadcast_BROADCAST_ALL
	case domain.BroadcastHere:
		return v1.Broadcast_BROADCAST_HERE
	case domain.NoBroadcast:
	}
	return v1.Broadcast_BROADCAST_UNSPECIFIED
}

func notifyOf(n domain.NotifyLevel) v1.NotifyLevel {
	switch n {
	case domain.NotifyAll:
		return v1.NotifyLevel_NOTIFY_LEVEL_ALL
	case domain.NotifyMentions:
		return v1.NotifyLevel_NOTIFY_LEVEL_MENTIONS
	case domain.NotifyNone:
		return v1.NotifyLevel_NOTIFY_LEVEL_NONE
	case domain.NotifyDefault:
	}
	return v1.NotifyLevel_NOTIFY_LEVEL_DEFAULT
}

func hidingOf(h domain.Hiding) v1.Hiding {
	switch h {
	case domain.HiddenUntilMessage:
		return v1.Hiding_HIDING_UNTIL_MESSAGE
	case domain.HiddenAlways:
		return v1.Hiding_HIDING_ALWAYS
	case domain.Shown:
	}
	return v1.Hiding_HIDING_SHOWN
}

func followingOf(f domain.Following) v1.Following {
	switch f {
	case domain.FollowingDefault:
		return v1.Following_FOLLOWING_DEFAULT
	case domain.Follow:
		return v1.Following_FOLLOWING_FOLLOW
	case domain.Unfollow:
		return v1.Following_FOLLOWING_UNFOLLOW
	case domain.FollowingUnchanged:
	}
	return v1.Following_FOLLOWING_UNSPECIFIED
}
