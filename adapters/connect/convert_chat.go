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

// permissionsOf returns the roles of actions by the names of the actions; the default is unspecified.
func permissionsOf(permissions map[domain.Action]domain.Role) map[string]v1.Role {
	if len(permissions) == 0 {
		return nil
	}
	named := make(map[string]v1.Role, len(permissions))
	for action, role := range permissions {
		named[wireformat.ActionName(action)] = roles.of(role)
	}
	return named
}

// permissions reads the roles of actions; an unspecified role is the default.
func (in *input) permissions(named map[string]v1.Role) map[domain.Action]domain.Role {
	if len(named) == 0 {
		return nil
	}
	permissions := make(map[domain.Action]domain.Role, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		action, ok := wireformat.ParseAction(name)
		if !ok {
			in.keep(&domain.InvalidError{Field: "permissions", Problem: fmt.Sprintf("have the action %.80q", name), Allowed: strings.Join(wireformat.ActionNames(), ", ")})
		}
		permissions[action] = roles.optional(in, "permissions."+name, named[name])
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
		UserId: string(r.User), Restriction: restrictions.of(r.Kind), ByUserId: string(r.By), Since: timeOf(r.Since), Until: timeOf(r.Until), Reason: string(r.Reason),
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
