package domain

import "strconv"

// name returns the name of a value, of names that begin with that of first, or its number.
func name[T ~uint8](v, first T, names ...string) string {
	if i := int(v) - int(first); i >= 0 && i < len(names) {
		return names[i]
	}
	return strconv.Itoa(int(v))
}

// String returns "offline", "online", "away" or "busy".
func (s Status) String() string { return name(s, Offline, "offline", "online", "away", "busy") }

// String returns "add" or "remove".
func (a ReactionAction) String() string { return name(a, ReactionAdd, "add", "remove") }

// String returns "group" or "direct".
func (k ChatKind) String() string { return name(k, Group, "group", "direct") }

// String returns "private" or "public".
func (v Visibility) String() string { return name(v, Private, "private", "public") }

// String returns "ban", "mute" or "block".
func (k RestrictionKind) String() string { return name(k, Ban, "ban", "mute", "block") }

// String returns "added", "member" or "banned".
func (a Admission) String() string { return name(a, Admitted, "added", "member", "banned", "blocked") }

// String returns "none", "all" or "here".
func (b Broadcast) String() string { return name(b, NoBroadcast, "none", "all", "here") }

// String returns "default", "all", "mentions" or "none".
func (n NotifyLevel) String() string {
	return name(n, NotifyDefault, "default", "all", "mentions", "none")
}

// String returns "shown", "untilMessage" or "always".
func (h Hiding) String() string { return name(h, Shown, "shown", "untilMessage", "always") }

// String returns "unchanged", "default", "follow" or "unfollow".
func (f Following) String() string {
	return name(f, FollowingUnchanged, "unchanged", "default", "follow", "unfollow")
}

// String returns the name of the action, such as "mentionAll".
func (a Action) String() string {
	return name(a, ActionPost, "post", "reply", "react", "record", "mentionAll", "pin", "metadata", "rename", "add", "remove", "restrict")
}

// String returns the name of the change, such as "member_added".
func (c Change) String() string {
	return name(c, Created, "created", "renamed", "member_added", "member_removed", "role_changed", "archived", "unarchived")
}

// String returns the name of the kind, such as "reactions".
func (k EntityKind) String() string {
	return name(k, KindChat, "chat", "member", "message", "reactions", "read", "command", "custom", "receipt", "restrictions", "metadata",
		"settings", "pins", "thread", "threads", "threadMark", "mentions")
}
