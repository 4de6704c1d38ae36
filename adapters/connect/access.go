package connect

import (
	"fmt"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// audience is the kind of principals that may call a method.
type audience uint8

const (
	nobody           audience = iota // the zero value: no principal may
	everyone                         // also without a credential
	authenticated                    // users, and services of any scope
	usersAndServices                 // users for themselves, and services with the scope
	servicesOnly                     // services with the scope
)

// String returns the name of an audience.
func (a audience) String() string {
	switch a {
	case everyone:
		return "everyone"
	case authenticated:
		return "authenticated"
	case usersAndServices:
		return "usersAndServices"
	case servicesOnly:
		return "servicesOnly"
	case nobody:
	}
	return "nobody"
}

// rule says who may call a method. Which chats and users it may be about is decided by the handlers, with [calls.actor] and [calls.reader].
type rule struct {
	who   audience
	scope auth.Scope

	// single marks a method that must not be given again after a lost response: its effect would happen twice.
	single bool
	// consumes marks a method of consumers: the scope is that of the group that the request names. Before the request is read, any such scope is enough.
	consumes bool
	// waits marks a method that waits for events: its calls are counted as streams of the caller.
	waits bool
}

// rules returns the rule of each method, by full name. A method without a row cannot be served.
func rules() map[string]rule {
	const (
		chats     = "chatcore.v1.ChatService."
		messages  = "chatcore.v1.MessageService."
		log       = "chatcore.v1.LogService."
		presence  = "chatcore.v1.PresenceService."
		sessions  = "chatcore.v1.SessionService."
		limits    = "chatcore.v1.LimitService."
		groups    = "chatcore.admin.v1.GroupService."
		hooks     = "chatcore.admin.v1.WebhookService."
		letters   = "chatcore.admin.v1.DeadLetterService."
		adminView = "chatcore.admin.v1.HealthService."
		retention = "chatcore.admin.v1.RetentionService."
		erasures  = "chatcore.admin.v1.ErasureService."
		consumers = "chatcore.consumer.v1.ConsumerService."
	)
	const feeds = "chatcore.v1.FeedService."
	reads := rule{who: usersAndServices, scope: auth.ScopeChatsRead}
	writes := rule{who: usersAndServices, scope: auth.ScopeChatsWrite}
	present := rule{who: usersAndServices, scope: auth.ScopePresence}
	logins := rule{who: usersAndServices, scope: auth.ScopeSessions}
	admin := rule{who: servicesOnly, scope: auth.ScopeAdmin}
	webhooks := rule{who: servicesOnly, scope: auth.ScopeWebhooks}
	return map[string]rule{
		chats + "CreateChat":         writes,
		chats + "RenameChat":         writes,
		chats + "ArchiveChat":        writes,
		chats + "UnarchiveChat":      writes,
		chats + "DeleteChat":         writes,
		chats + "AddMember":          writes,
		chats + "RemoveMember":       writes,
		chats + "LeaveChat":          writes,
		chats + "PromoteMember":      writes,
		chats + "DemoteMember":       writes,
		chats + "AddMembers":         writes,
		chats + "JoinChat":           writes,
		chats + "OpenDirectChat":     writes,
		chats + "BlockUser":          writes,
		chats + "SetChatPolicy":      writes,
		chats + "RestrictMember":     writes,
		chats + "UpdateChatMetadata": writes,
		chats + "GetChatMetadata":    reads,
		chats + "SetChatSettings":    writes,
		chats + "GetChatSettings":    reads,
		chats + "ListRestrictions":   reads,
		chats + "GetDirectChat":      reads,
		chats + "ListBlocked":        reads,
		chats + "DepartUser":         {who: servicesOnly, scope: auth.ScopeAdmin},
		chats + "GetChat":            reads,
		chats + "GetMember":          reads,
		chats + "ListMembers":        reads,
		chats + "ListChats":          reads,
		chats + "ListChatIds":        reads,
		chats + "ListContacts":       reads,
		chats + "ForgetContacts":     {who: servicesOnly, scope: auth.ScopeChatsWrite},

		messages + "SendMessage":      writes,
		messages + "SendMessages":     writes,
		messages + "EditMessage":      writes,
		messages + "DeleteMessage":    writes,
		messages + "EraseMessage":     writes,
		messages + "AddReaction":      writes,
		messages + "RemoveReaction":   writes,
		messages + "MarkRead":         writes,
		messages + "RecordEvent":      writes,
		messages + "GetMessage":       reads,
		messages + "ListMessages":     reads,
		messages + "GetUnread":        reads,
		messages + "ListUnread":       reads,
		messages + "ListEntityEvents": reads,
		messages + "PinMessage":       writes,
		messages + "UnpinMessage":     writes,
		messages + "ListPins":         reads,
		messages + "ListReadBy":       reads,
		messages + "GetUnreadTotals":  reads,

		messages + "MarkThread":         writes,
		messages + "GetThread":          reads,
		messages + "ListThreadMessages": reads,
		messages + "ListThreads":        reads,
		messages + "ListMentions":       reads,

		log + "ListEvents":      reads,
		log + "ListAuditEvents": reads,

		feeds + "Watch":            reads,
		feeds + "CreateFeedTicket": reads,

		presence + "Heartbeat":         present,
		presence + "Disconnect":        present,
		presence + "SetStatus":         present,
		presence + "GetStatuses":       present,
		presence + "StreamOnlineUsers": {who: servicesOnly, scope: auth.ScopePresence},
		presence + "StartTyping":       present,
		presence + "StopTyping":        present,
		presence + "ListTyping":        present,

		sessions + "OpenSession":      {who: servicesOnly, scope: auth.ScopeSessions, single: true},
		sessions + "GetSession":       {who: servicesOnly, scope: auth.ScopeSessions},
		sessions + "RotateSession":    {who: usersAndServices, scope: auth.ScopeSessions, single: true},
		sessions + "ListSessions":     logins,
		sessions + "CloseSession":     logins,
		sessions + "CloseAllSessions": logins,

		limits + "Take": {who: servicesOnly, scope: auth.ScopeChatsWrite, single: true},

		groups + "ListGroups":         admin,
		groups + "RebuildGroup":       admin,
		groups + "DeleteGroup":        admin,
		groups + "CreateGroup":        admin,
		groups + "UpdateGroup":        admin,
		groups + "PauseGroup":         admin,
		groups + "ResumeGroup":        admin,
		hooks + "CreateWebhook":       webhooks,
		hooks + "GetWebhook":          webhooks,
		hooks + "ListWebhooks":        webhooks,
		hooks + "UpdateWebhook":       webhooks,
		hooks + "TestWebhook":         webhooks,
		hooks + "RotateWebhookSecret": webhooks,
		hooks + "PauseWebhook":        webhooks,
		hooks + "ResumeWebhook":       webhooks,
		hooks + "DeleteWebhook":       webhooks,
		hooks + "ListWebhookAttempts": webhooks,
		letters + "ListDeadLetters":   admin,
		letters + "GetDeadLetter":     admin,
		letters + "RetryDeadLetter":   admin,
		letters + "DropDeadLetter":    admin,
		retention + "ListRetention":   admin,
		retention + "SetRetention":    admin,
		retention + "ClearRetention":  admin,
		retention + "AddHold":         admin,
		retention + "RemoveHold":      admin,
		retention + "ListHolds":       admin,
		erasures + "Erase":            admin,
		erasures + "EraseUser":        admin,
		erasures + "VerifyErasure":    admin,
		adminView + "GetHealth":       admin,
		adminView + "ListFindings":    admin,

		consumers + "Consume": {who: servicesOnly, consumes: true},
		consumers + "Fetch":   {who: servicesOnly, consumes: true, waits: true},
		consumers + "Settle":  {who: servicesOnly, consumes: true},
	}
}

// check returns nil if the principal may call a method with the rule: [auth.ErrUnauthenticated] for [auth.Nobody], and an [accessError] for others.
func (r rule) check(p auth.Principal) error {
	if r.who == everyone {
		return nil
	}
	if r.consumes {
		if r.scope = consumeScope(p); r.scope == "" {
			r.scope = auth.ScopeConsume("GROUP")
		}
	}
	switch p := p.(type) {
	case auth.Service:
		if r.who == authenticated {
			return nil
		}
		if r.who == nobody || !p.Allows(r.scope) {
			return &accessError{reason: "scope_missing", problem: fmt.Sprintf("service %q lacks the scope %q", p.ID, r.scope), allowed: string(r.scope)}
		}
		return nil
	case auth.User:
		if r.who == authenticated {
			return nil
		}
		if r.who != usersAndServices || !p.Allows(r.scope) {
			return &accessError{reason: "service_required", problem: "users may not call this method", allowed: "services with the scope " + string(r.scope)}
		}
		return nil
	default:
		return errNoCredential
	}
}

// consumeScope returns a scope of a principal to consume a group, or "" if it has none.
func consumeScope(p auth.Principal) auth.Scope {
	s, _ := p.(auth.Service)
	for _, scope := range s.Scopes {
		if scope.Consumes() {
			return scope
		}
	}
	return ""
}

// accessError is returned for a call that the caller's kind or scopes do not allow, or that is about a user that the caller may not act for.
type accessError struct {
	reason  string
	field   string // may be empty
	problem string
	allowed string
}

func (e *accessError) Error() string {
	if e.field != "" {
		return e.field + " " + e.problem + "; allowed: " + e.allowed
	}
	return e.problem + "; allowed: " + e.allowed
}

// otherUser is the error for a user that names another user.
func otherUser(field, named string, user domain.UserID) error {
	return &accessError{reason: "other_user", field: field, problem: fmt.Sprintf("is %.80q", named), allowed: fmt.Sprintf("empty, or %q: the user of the call", user)}
}
