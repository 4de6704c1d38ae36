package wireformat

import (
	"slices"
	"strings"

	"chatcore/domain"
)

// The types of events. Each is also the name of the channel on which the event is announced.
const (
	TypeMessageNew        = "message:new"
	TypeMessageEdit       = "message:edit"
	TypeMessageDelete     = "message:delete"
	TypeMessageErased     = "message:erased"
	TypeMessageReaction   = "message:reaction"
	TypeReadReceipt       = "read:receipt"
	TypeChatUpdate        = "chat:update"
	TypeChatDeleted       = "chat:deleted"
	TypeChatPolicy        = "chat:policy"
	TypeMemberRestriction = "member:restriction"
	TypeChatMetadata      = "chat:metadata"
	TypeChatSettings      = "chat:settings"
	TypeMessagePin        = "message:pin"
	TypeThreadMark        = "thread:mark"
	TypeUserStatus        = "user:status"
	TypeTypingStart       = "typing:start"
	TypeTypingStop        = "typing:stop"
)

// Type is the name of an event's type, "" for an event that is none of package domain's values. Custom events have names of their own.
func Type(e domain.Event) string {
	switch e := e.(type) {
	case domain.MessageNew:
		return TypeMessageNew
	case domain.MessageEdit:
		return TypeMessageEdit
	case domain.MessageDelete:
		return TypeMessageDelete
	case domain.MessageErased:
		return TypeMessageErased
	case domain.MessageReaction:
		return TypeMessageReaction
	case domain.ReadReceipt:
		return TypeReadReceipt
	case domain.ChatUpdate:
		return TypeChatUpdate
	case domain.ChatDeleted:
		return TypeChatDeleted
	case domain.ChatPolicy:
		return TypeChatPolicy
	case domain.MemberRestriction:
		return TypeMemberRestriction
	case domain.ChatMetadata:
		return TypeChatMetadata
	case domain.ChatSettings:
		return TypeChatSettings
	case domain.MessagePin:
		return TypeMessagePin
	case domain.ThreadMark:
		return TypeThreadMark
	case domain.UserStatus:
		return TypeUserStatus
	case domain.TypingStart:
		return TypeTypingStart
	case domain.TypingStop:
		return TypeTypingStop
	case domain.Custom:
		return string(e.Type)
	case domain.Unknown:
		return e.Type
	}
	return ""
}

// DurableTypes are the types of the core's own events that are recorded.
func DurableTypes() []string {
	return []string{
		TypeMessageNew, TypeMessageEdit, TypeMessageDelete, TypeMessageReaction, TypeReadReceipt, TypeChatUpdate, TypeMessageErased, TypeChatDeleted,
		TypeChatPolicy, TypeMemberRestriction, TypeChatMetadata, TypeChatSettings, TypeMessagePin, TypeThreadMark,
	}
}

// LiveTypes are the types of events that are announced: the durable and the ephemeral ones.
func LiveTypes() []string {
	return append(DurableTypes(), TypeUserStatus, TypeTypingStart, TypeTypingStop)
}

// CheckCustomType returns an error if a name cannot be that of custom events. Names that begin as the core's own do are reserved, because a later version
// of the core may have events of that name.
func CheckCustomType(typ domain.CustomType) error {
	if _, err := domain.ParseCustomType(string(typ)); err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(typ), ":")
	if slices.Contains(reservedParts(), first) {
		return &domain.InvalidError{
			Field: "type", Problem: "is " + string(typ) + ", and " + first + ": is reserved for the core",
			Allowed: "a name that does not begin with " + strings.Join(reservedParts(), ":, ") + ":",
		}
	}
	return nil
}

// reservedParts are the first parts of names that the core's events have now and may have later.
func reservedParts() []string {
	return []string{"chat", "member", "message", "read", "thread", "typing", "user"}
}

// IsDurable reports whether a type is one of [DurableTypes].
func IsDurable(typ string) bool { return durable(typ) }

func known(typ string) bool { return durable(typ) || ephemeral(typ) }

func durable(typ string) bool {
	switch typ {
	case TypeMessageNew, TypeMessageEdit, TypeMessageDelete, TypeMessageReaction, TypeReadReceipt, TypeChatUpdate, TypeMessageErased, TypeChatDeleted,
		TypeChatPolicy, TypeMemberRestriction, TypeChatMetadata, TypeChatSettings, TypeMessagePin, TypeThreadMark:
		return true
	}
	return false
}

func ephemeral(typ string) bool {
	switch typ {
	case TypeUserStatus, TypeTypingStart, TypeTypingStop:
		return true
	}
	return false
}

// The names of enumerated values; "" is a value without a name, which is not written.

func actionName(a domain.ReactionAction) string {
	switch a {
	case domain.ReactionAdd:
		return "add"
	case domain.ReactionRemove:
		return "remove"
	}
	return ""
}

func changeName(c domain.Change) string {
	switch c {
	case domain.Created:
		return "created"
	case domain.Renamed:
		return "renamed"
	case domain.MemberAdded:
		return "member_added"
	case domain.MemberRemoved:
		return "member_removed"
	case domain.RoleChanged:
		return "role_changed"
	case domain.Archived:
		return "archived"
	case domain.Unarchived:
		return "unarchived"
	}
	return ""
}

func kindName(k domain.ChatKind) string {
	switch k {
	case domain.Group:
		return "group"
	case domain.Direct:
		return "direct"
	}
	return ""
}

func visibilityName(v domain.Visibility) string {
	switch v {
	case domain.Private:
		return "private"
	case domain.Public:
		return "public"
	}
	return ""
}

func permissionName(a domain.Action) string {
	if a < domain.ActionPost || a > domain.Actions {
		return ""
	}
	return a.String()
}

func restrictionName(k domain.RestrictionKind) string {
	switch k {
	case domain.Ban:
		return "ban"
	case domain.Mute:
		return "mute"
	case domain.Block:
		return "block"
	}
	return ""
}

func broadcastName(b domain.Broadcast) string {
	switch b {
	case domain.BroadcastAll, domain.BroadcastHere:
		return b.String()
	case domain.NoBroadcast:
	}
	return ""
}

func notifyName(n domain.NotifyLevel) string {
	switch n {
	case domain.NotifyAll, domain.NotifyMentions, domain.NotifyNone:
		return n.String()
	case domain.NotifyDefault:
	}
	return ""
}

func hidingName(h domain.Hiding) string {
	switch h {
	case domain.HiddenUntilMessage, domain.HiddenAlways:
		return h.String()
	case domain.Shown:
	}
	return ""
}

func roleName(r domain.Role) string {
	switch r {
	case domain.RoleOwner:
		return "owner"
	case domain.RoleAdmin:
		return "admin"
	case domain.RoleMember:
		return "member"
	case domain.NoRole:
	}
	return ""
}

func statusName(s domain.Status) string {
	switch s {
	case domain.Online:
		return "online"
	case domain.Away:
		return "away"
	case domain.Busy:
		return "busy"
	case domain.Offline:
		return "offline"
	}
	return ""
}

// named is the value of that name, from first on as far as there are names.
func named[T ~uint8](name string, first T, nameOf func(T) string) (T, bool) {
	for v := first; nameOf(v) != ""; v++ {
		if nameOf(v) == name {
			return v, true
		}
	}
	return 0, false
}

// names lists the names from first on.
func names[T ~uint8](first T, nameOf func(T) string) []string {
	var all []string
	for v := first; nameOf(v) != ""; v++ {
		all = append(all, nameOf(v))
	}
	return all
}

// VisibilityName is how the visibility of a chat is written, "" for none.
func VisibilityName(v domain.Visibility) string { return visibilityName(v) }

// ParseVisibility reads the name of a visibility.
func ParseVisibility(name string) (domain.Visibility, bool) {
	return named(name, domain.Private, visibilityName)
}

// ActionName is how an action of a policy is written, "" for none.
func ActionName(a domain.Action) string { return permissionName(a) }

// ParseAction reads the name of an action.
func ParseAction(name string) (domain.Action, bool) {
	return named(name, domain.ActionPost, permissionName)
}

// ActionNames are the names of all actions.
func ActionNames() []string { return names(domain.ActionPost, permissionName) }

// RestrictionName is how the kind of a restriction is written, "" for none.
func RestrictionName(k domain.RestrictionKind) string { return restrictionName(k) }

// ParseRestriction reads the name of a kind of restriction.
func ParseRestriction(name string) (domain.RestrictionKind, bool) {
	return named(name, domain.Ban, restrictionName)
}

// StatusName is how a status is written.
func StatusName(s domain.Status) string { return statusName(s) }

// ParseStatus reads the name of a status.
func ParseStatus(name string) (domain.Status, bool) { return named(name, domain.Offline, statusName) }

// RoleName is how a role is written, "" for none.
func RoleName(r domain.Role) string { return roleName(r) }

// ParseRole reads the name of a role.
func ParseRole(name string) (domain.Role, bool) { return named(name, domain.RoleMember, roleName) }
