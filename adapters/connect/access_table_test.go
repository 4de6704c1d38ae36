package connect_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"chatcore/adapters/connect/auth"
	v1 "chatcore/gen/chatcore/v1"
)

// object is a request as JSON.
type object map[string]any

// accessRow says what each principal gets of a method: a code, or "" for success. Nobody, and every credential that is not valid, is unauthenticated; a
// service without the scope is denied.
type accessRow struct {
	scope   auth.Scope
	request func(p *place, actor string) object
	actor   func(p *place) string // that a service names; nil: none

	service, member, admin, former, outsider string
}

const (
	denied  = "permission_denied"
	absent  = "not_found"
	refused = "failed_precondition"
)

// accessRows returns the row of each method, by full name.
func accessRows() map[string]accessRow {
	rows := make(map[string]accessRow)
	addChatRows(rows)
	addMessageRows(rows)
	addReaderRows(rows)
	addPresenceRows(rows)
	addSessionRows(rows)
	addServiceRows(rows)
	addFeedRows(rows)
	return rows
}

// command returns a request of a command about the chat, with further fields by name and value.
func command(fields ...any) func(*place, string) object {
	return func(p *place, actor string) object {
		p.commands++
		return about(p, actor, append(fields, "command_id", fmt.Sprint("k", p.n, "-", p.commands))...)
	}
}

// query returns a request of a query about the chat.
func query(fields ...any) func(*place, string) object {
	return func(p *place, actor string) object { return about(p, actor, fields...) }
}

// about returns a request about the chat. Values that are functions are called with the place.
func about(p *place, actor string, fields ...any) object {
	o := object{"chat_id": p.chat}
	if actor != "" {
		o["actor_id"] = actor
	}
	for i := 0; i < len(fields); i += 2 {
		value := fields[i+1]
		if of, ok := value.(func(*place) string); ok {
			value = of(p)
		}
		o[fields[i].(string)] = value //nolint:forcetypeassert // a name
	}
	return o
}

// ofUser returns a request about the acting user.
func ofUser(fields ...any) func(*place, string) object {
	return func(_ *place, actor string) object {
		o := object{}
		if actor != "" {
			o["user_id"] = actor
		}
		for i := 0; i < len(fields); i += 2 {
			o[fields[i].(string)] = fields[i+1] //nolint:forcetypeassert // a name
		}
		return o
	}
}

// withPeer returns a request about the direct chat of the acting user and a user of the place's own.
func withPeer(p *place, actor string) object {
	o := object{"user_id": fmt.Sprint("peer-", p.n)}
	if actor != "" {
		o["actor_id"] = actor
	}
	return o
}

func addChatRows(rows map[string]accessRow) {
	write := func(name, member, admin, service string, request func(*place, string) object) {
		rows["chatcore.v1.ChatService."+name] = accessRow{
			auth.ScopeChatsWrite, request, (*place).owner, service, member, admin, denied, absent,
		}
	}
	write("RenameChat", denied, "", "", command("title", "T"))
	write("ArchiveChat", denied, denied, "", command())
	write("UnarchiveChat", denied, denied, "", command())
	write("DeleteChat", denied, denied, "", command())
	write("AddMember", denied, "", "", command("user_id", (*place).stranger))
	write("RemoveMember", denied, "", "", command("user_id", (*place).other))
	write("LeaveChat", "", "", refused, command())
	write("PromoteMember", denied, denied, "", command("user_id", (*place).other, "role", "ROLE_ADMIN"))
	write("DemoteMember", denied, denied, "", command("user_id", (*place).admin, "role", "ROLE_MEMBER"))
	write("AddMembers", denied, "", "", func(p *place, actor string) object {
		o := command()(p, actor)
		o["user_ids"] = []string{p.stranger()}
		return o
	})
	write("UpdateChatMetadata", denied, "", "", command("set", object{"topic": "1"}))
	rows["chatcore.v1.ChatService.SetChatSettings"] = accessRow{
		auth.ScopeChatsWrite, command("favourite", true), (*place).owner, "", "", "", denied, absent,
	}
	rows["chatcore.v1.ChatService.GetChatSettings"] = accessRow{
		auth.ScopeChatsRead, func(p *place, actor string) object {
			o := ofUser()(p, actor)
			o["chat_id"] = p.chat
			return o
		}, (*place).owner, "", "", "", "", absent,
	}
	write("SetChatPolicy", denied, denied, "", command("permissions", object{"pin": "ROLE_OWNER"}))
	write("RestrictMember", denied, "", "", command("user_id", (*place).other, "restriction", "RESTRICTION_MUTE"))
	rows["chatcore.v1.ChatService.JoinChat"] = accessRow{auth.ScopeChatsWrite, command(), (*place).owner, "", "", "", denied, absent}
	rows["chatcore.v1.ChatService.ListRestrictions"] = accessRow{auth.ScopeChatsRead, query(), nil, "", denied, "", denied, absent}
	rows["chatcore.v1.ChatService.OpenDirectChat"] = accessRow{scope: auth.ScopeChatsWrite, actor: (*place).owner, request: withPeer}
	rows["chatcore.v1.ChatService.BlockUser"] = accessRow{
		scope: auth.ScopeChatsWrite, actor: (*place).owner,
		request: func(p *place, actor string) object {
			o := withPeer(p, actor)
			p.commands++
			o["command_id"] = fmt.Sprint("k", p.n, "-", p.commands)
			return o
		},
	}
	rows["chatcore.v1.ChatService.GetDirectChat"] = accessRow{auth.ScopeChatsRead, withPeer, (*place).owner, absent, absent, absent, absent, absent}
	rows["chatcore.v1.ChatService.CreateChat"] = accessRow{
		scope: auth.ScopeChatsWrite, actor: (*place).owner,
		request: func(p *place, actor string) object {
			o := command()(p, actor)
			o["chat_id"] = fmt.Sprint("new-", p.n)
			return o
		},
	}
	rows["chatcore.v1.ChatService.ForgetContacts"] = accessRow{
		auth.ScopeChatsWrite, func(p *place, _ string) object { return object{"user_ids": []string{p.member()}} }, nil, "", denied, denied, denied, denied,
	}
	rows["chatcore.v1.ChatService.DepartUser"] = accessRow{
		auth.ScopeAdmin, func(p *place, _ string) object { return object{"user_id": fmt.Sprint("nobody-", p.n)} }, nil, "", denied, denied, denied, denied,
	}
	for _, name := range []string{"ListChats", "ListChatIds", "ListContacts", "ListBlocked"} {
		rows["chatcore.v1.ChatService."+name] = accessRow{scope: auth.ScopeChatsRead, request: ofUser(), actor: (*place).owner}
	}
	for name, request := range map[string]func(*place, string) object{
		"GetChat": query(), "GetMember": query("user_id", (*place).owner), "ListMembers": query(), "GetChatMetadata": query(),
	} {
		rows["chatcore.v1.ChatService."+name] = accessRow{auth.ScopeChatsRead, request, nil, "", "", "", "", absent}
	}
}

func addMessageRows(rows map[string]accessRow) {
	write := func(name, admin, service string, request func(*place, string) object) {
		rows["chatcore.v1.MessageService."+name] = accessRow{auth.ScopeChatsWrite, request, (*place).owner, service, "", admin, denied, absent}
	}
	fresh := func(p *place) string { p.commands++; return fmt.Sprint("m", p.n, "-", p.commands) }
	write("SendMessage", "", "", query("message_id", fresh, "content", "x"))
	write("EditMessage", denied, denied, command("message_id", "m", "content", "y"))
	write("DeleteMessage", "", "", command("message_id", "m"))
	write("EraseMessage", denied, "", command("message_id", "m"))
	write("AddReaction", "", "", command("message_id", "m", "emoji", "👍"))
	write("RemoveReaction", "", "", command("message_id", "m", "emoji", "👍"))
	write("MarkRead", "", "", query("message_id", "m"))
	write("MarkThread", "", "", query("thread_id", "m", "following", "FOLLOWING_FOLLOW"))
	for name, request := range map[string]func(*place, string) object{
		"GetThread": query("thread_id", "m"), "ListThreads": query(), "ListMentions": query(),
	} {
		rows["chatcore.v1.MessageService."+name] = accessRow{auth.ScopeChatsRead, request, (*place).owner, "", "", "", "", absent}
	}
	write("RecordEvent", "", "", command("type", "poll:voted", "data", "{}"))
	for _, name := range []string{"PinMessage", "UnpinMessage"} {
		rows["chatcore.v1.MessageService."+name] = accessRow{auth.ScopeChatsWrite, command("message_id", "m"), (*place).owner, "", denied, "", denied, absent}
	}
	rows["chatcore.v1.MessageService.SendMessages"] = accessRow{ // its results have the errors
		scope: auth.ScopeChatsWrite, actor: (*place).owner,
		request: func(p *place, actor string) object {
			return object{"messages": []object{about(p, actor, "message_id", fresh, "content", "x")}}
		},
	}
	for name, request := range map[string]func(*place, string) object{
		"GetMessage": query("message_id", "m"), "ListMessages": query(), "ListThreadMessages": query("thread_id", "m"), "ListEntityEvents": query("entity_id", "poll"),
		"ListPins": query(), "ListReadBy": query("message_id", "m"),
	} {
		rows["chatcore.v1.MessageService."+name] = accessRow{auth.ScopeChatsRead, request, nil, "", "", "", "", absent}
	}
	rows["chatcore.v1.MessageService.GetUnread"] = accessRow{
		auth.ScopeChatsRead, func(p *place, actor string) object {
			o := ofUser()(p, actor)
			o["chat_id"] = p.chat
			return o
		}, (*place).owner, "", "", "", absent, absent,
	}
	rows["chatcore.v1.MessageService.GetUnreadTotals"] = accessRow{scope: auth.ScopeChatsRead, request: ofUser(), actor: (*place).owner}
	rows["chatcore.v1.MessageService.ListUnread"] = accessRow{scope: auth.ScopeChatsRead, request: ofUser(), actor: (*place).owner}
}

func addReaderRows(rows map[string]accessRow) {
	rows["chatcore.v1.LogService.ListEvents"] = accessRow{auth.ScopeChatsRead, query(), nil, "", denied, "", denied, absent}
	rows["chatcore.v1.LogService.ListAuditEvents"] = accessRow{auth.ScopeChatsRead, query("message_id", "m"), nil, "", denied, "", denied, absent}
}

func addPresenceRows(rows map[string]accessRow) {
	const service = "chatcore.v1.PresenceService."
	for name, request := range map[string]func(*place, string) object{
		"Heartbeat": ofUser("device_id", "d"), "Disconnect": ofUser("device_id", "d"), "SetStatus": ofUser("status", "STATUS_BUSY"),
	} {
		rows[service+name] = accessRow{scope: auth.ScopePresence, request: request, actor: (*place).owner}
	}
	rows[service+"GetStatuses"] = accessRow{scope: auth.ScopePresence, request: func(p *place, _ string) object { return object{"user_ids": []string{p.owner()}} }}
	rows[service+"StreamOnlineUsers"] = accessRow{auth.ScopePresence, func(*place, string) object { return object{} }, nil, "", denied, denied, denied, denied}
	rows[service+"StartTyping"] = accessRow{auth.ScopePresence, query(), (*place).owner, "", "", "", denied, absent}
	rows[service+"StopTyping"] = accessRow{auth.ScopePresence, query(), (*place).owner, "", "", "", denied, absent}
	rows[service+"ListTyping"] = accessRow{auth.ScopePresence, query(), nil, "", "", "", absent, absent}
}

func addSessionRows(rows map[string]accessRow) {
	const service = "chatcore.v1.SessionService."
	only := func(request func(*place, string) object) accessRow {
		return accessRow{auth.ScopeSessions, request, (*place).owner, "", denied, denied, denied, denied}
	}
	token := func(p *place, actor string) object {
		if actor == "" {
			return object{}
		}
		return object{"token": p.login(actor).token}
	}
	rows[service+"OpenSession"] = only(ofUser())
	rows[service+"GetSession"] = only(token)
	for name, request := range map[string]func(*place, string) object{
		"RotateSession": token, "ListSessions": ofUser(), "CloseAllSessions": ofUser(),
		"CloseSession": func(p *place, actor string) object {
			if actor == "" {
				return object{}
			}
			return object{"user_id": actor, "session_id": p.login(actor).id}
		},
	} {
		rows[service+name] = accessRow{scope: auth.ScopeSessions, request: request, actor: (*place).owner}
	}
}

func addServiceRows(rows map[string]accessRow) {
	only := func(name string, scope auth.Scope, code string, o object) {
		rows[name] = accessRow{scope, func(*place, string) object { return maps.Clone(o) }, nil, code, denied, denied, denied, denied}
	}
	letter := object{"group": "g", "id": "0/1-1"}
	only("chatcore.v1.LimitService.Take", auth.ScopeChatsWrite, "", object{"kind": "login", "subject": []string{"192.0.2.1"}})
	only("chatcore.admin.v1.GroupService.ListGroups", auth.ScopeAdmin, "", object{})
	only("chatcore.admin.v1.GroupService.RebuildGroup", auth.ScopeAdmin, "", object{"group": "g"})
	only("chatcore.admin.v1.GroupService.DeleteGroup", auth.ScopeAdmin, absent, object{"group": "none"})
	only("chatcore.admin.v1.GroupService.CreateGroup", auth.ScopeAdmin, "", object{"group": "made"})
	only("chatcore.admin.v1.GroupService.UpdateGroup", auth.ScopeAdmin, absent, object{"group": "none", "settings": object{}})
	only("chatcore.admin.v1.GroupService.PauseGroup", auth.ScopeAdmin, absent, object{"group": "none"})
	only("chatcore.admin.v1.GroupService.ResumeGroup", auth.ScopeAdmin, absent, object{"group": "none"})
	only("chatcore.admin.v1.WebhookService.CreateWebhook", auth.ScopeWebhooks, "failed_precondition", object{"name": "made-hook", "url": "https://hooks.example.com/"}) // there is no key
	only("chatcore.admin.v1.WebhookService.ListWebhooks", auth.ScopeWebhooks, "", object{})
	only("chatcore.admin.v1.WebhookService.GetWebhook", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.UpdateWebhook", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.TestWebhook", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.RotateWebhookSecret", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.PauseWebhook", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.ResumeWebhook", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.DeleteWebhook", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.WebhookService.ListWebhookAttempts", auth.ScopeWebhooks, absent, object{"name": "none"})
	only("chatcore.admin.v1.DeadLetterService.ListDeadLetters", auth.ScopeAdmin, "", object{"group": "g"})
	only("chatcore.admin.v1.DeadLetterService.GetDeadLetter", auth.ScopeAdmin, absent, letter)
	only("chatcore.admin.v1.DeadLetterService.RetryDeadLetter", auth.ScopeAdmin, absent, letter)
	only("chatcore.admin.v1.DeadLetterService.DropDeadLetter", auth.ScopeAdmin, absent, letter)
	only("chatcore.consumer.v1.ConsumerService.Consume", auth.ScopeConsumeAll, absent, object{"start": object{"group": "none"}})
	only("chatcore.consumer.v1.ConsumerService.Fetch", auth.ScopeConsumeAll, absent, object{"group": "none"})
	only("chatcore.consumer.v1.ConsumerService.Settle", auth.ScopeConsumeAll, "", object{"group": "none"})
	only("chatcore.admin.v1.RetentionService.ListRetention", auth.ScopeAdmin, "", object{})
	only("chatcore.admin.v1.RetentionService.SetRetention", auth.ScopeAdmin, "", object{"chat_id": "kept", "actor_id": "ops"})
	only("chatcore.admin.v1.RetentionService.ClearRetention", auth.ScopeAdmin, "", object{"chat_id": "kept", "actor_id": "ops"})
	only("chatcore.admin.v1.RetentionService.AddHold", auth.ScopeAdmin, "", object{"id": "case", "chat_id": "kept", "reason": "r", "actor_id": "ops"})
	only("chatcore.admin.v1.RetentionService.RemoveHold", auth.ScopeAdmin, absent, object{"id": "none", "chat_id": "kept"})
	only("chatcore.admin.v1.RetentionService.ListHolds", auth.ScopeAdmin, "", object{})
	only("chatcore.admin.v1.ErasureService.Erase", auth.ScopeAdmin, absent, object{"chat_id": "none", "message_id": "none", "actor_id": "ops"})
	only("chatcore.admin.v1.ErasureService.EraseUser", auth.ScopeAdmin, "", object{"user_id": "stranger", "actor_id": "ops"})
	only("chatcore.admin.v1.ErasureService.VerifyErasure", auth.ScopeAdmin, absent, object{"chat_id": "none", "message_id": "none"})
	only("chatcore.admin.v1.HealthService.GetHealth", auth.ScopeAdmin, "", object{})
	only("chatcore.admin.v1.HealthService.ListFindings", auth.ScopeAdmin, "", object{})
}

func addFeedRows(rows map[string]accessRow) {
	const service = "chatcore.v1.FeedService."
	rows[service+"Watch"] = accessRow{auth.ScopeChatsRead, func(p *place, actor string) object {
		o := object{"chats": []object{{"chat_id": p.chat, "after_seq": 0}}}
		if actor != "" {
			o["actor_id"] = actor
		}
		return o
	}, nil, "", "", "", "", absent}
	rows[service+"CreateFeedTicket"] = accessRow{scope: auth.ScopeChatsRead, actor: (*place).owner, request: func(_ *place, actor string) object {
		if actor == "" {
			return object{}
		}
		return object{"actor_id": actor}
	}}
}

// apiMethods returns the methods of all services of the API, by full name.
func apiMethods() map[string]protoreflect.MethodDescriptor {
	methods := make(map[string]protoreflect.MethodDescriptor)
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			if service := file.Services().Get(i); strings.HasPrefix(string(service.FullName()), "chatcore.") {
				for j := range service.Methods().Len() {
					methods[string(service.Methods().Get(j).FullName())] = service.Methods().Get(j)
				}
			}
		}
		return true
	})
	return methods
}

// TestAccess_Table calls every method as every principal, through the middleware of authentication on Redis, and compares the code with the table.
func TestAccess_Table(t *testing.T) {
	g := newGuarded(t)
	methods, rows := apiMethods(), accessRows()
	for name := range rows {
		if methods[name] == nil {
			t.Errorf("there is no method %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		row, ok := rows[name]
		if !ok {
			t.Errorf("the table has no row for %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			g := g.of(t)
			g.checkInvalid(methods[name], row)
			g.check(methods[name], row, "a service without the scope", g.services["without "+string(row.scope)], true, denied, nil)
			g.check(methods[name], row, "a service", g.services["all"], true, row.service, nil)
			g.check(methods[name], row, "a member", "", false, row.member, (*place).member)
			withJWT := row.member
			if name == "chatcore.v1.SessionService.RotateSession" || name == "chatcore.v1.SessionService.CloseSession" { // of the session of the call
				withJWT = refused
			}
			p := g.newPlace()
			if got := g.call(methods[name], g.sign(p.member(), time.Now().Add(time.Hour)), row.request(p, "")); got.code != withJWT {
				t.Errorf("a member with a JWT: %q, want %q: %s", got.code, withJWT, got.body)
			}
			g.check(methods[name], row, "an admin", "", false, row.admin, (*place).admin)
			g.check(methods[name], row, "a former member", "", false, row.former, (*place).former)
			g.check(methods[name], row, "an outsider", "", false, row.outsider, (*place).outsider)
		})
	}
}

// check calls a method once, in a place of its own.
func (g *guarded) check(m protoreflect.MethodDescriptor, row accessRow, who, token string, service bool, want string, user func(*place) string) {
	g.t.Helper()
	p := g.newPlace()
	actor := ""
	if service && row.actor != nil {
		actor = row.actor(p)
	}
	if user != nil {
		token = p.login(user(p)).token
	}
	if got := g.call(m, token, row.request(p, actor)); got.code != want {
		g.t.Errorf("%s: %q, want %q: %s", who, got.code, want, got.body)
	}
}

// checkInvalid calls a method without a valid credential. Which part of a credential is wrong must not show.
func (g *guarded) checkInvalid(m protoreflect.MethodDescriptor, row accessRow) {
	g.t.Helper()
	p := g.newPlace()
	request := row.request(p, p.owner())
	if got := g.call(m, "", request); got.code != "unauthenticated" {
		g.t.Errorf("nobody: %q: %s", got.code, got.body)
	}
	var first *answer
	for _, who := range slices.Sorted(maps.Keys(g.invalid)) {
		got := g.call(m, g.invalid[who](p), request)
		if got.code != "unauthenticated" {
			g.t.Errorf("%s: %q: %s", who, got.code, got.body)
		}
		if first == nil {
			first = &got
		} else if !bytes.Equal(got.body, first.body) || got.status != first.status {
			g.t.Errorf("%s: %d %s, another: %d %s", who, got.status, got.body, first.status, first.body)
		}
	}
}

// TestAccess_OutsiderLearnsNothing calls every method about a chat as a user that never was a member of it, and about a chat that does not exist. The
// answers must be equal but for the id.
func TestAccess_OutsiderLearnsNothing(t *testing.T) {
	g := newGuarded(t)
	methods, compared := apiMethods(), 0
	for name, row := range accessRows() {
		p := g.newPlace()
		token := p.login(p.outsider()).token
		request := row.request(p, "")
		text, _ := json.Marshal(request)
		if !strings.Contains(string(text), p.chat) {
			continue
		}
		compared++
		none := strings.Repeat("z", len(p.chat))
		there, missing := g.callText(methods[name], token, text), g.callText(methods[name], token, []byte(strings.ReplaceAll(string(text), p.chat, none)))
		if got, want := there.normal(t, p.chat), missing.normal(t, none); got != want {
			t.Errorf("%s: of a chat that exists\n%s\nof one that does not\n%s", name, got, want)
		}
	}
	if compared < 25 {
		t.Errorf("%d methods are about a chat", compared)
	}
}

// normal returns an answer with CHAT for the id of the chat, also in its details.
func (a answer) normal(t *testing.T, chat string) string {
	t.Helper()
	var e struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatal(err, string(a.body))
	}
	if e.Code == "" {
		return strings.ReplaceAll(fmt.Sprintf("%d %s", a.status, a.body), chat, "CHAT")
	}
	text := fmt.Sprintf("%d %s %s\n", a.status, e.Code, e.Message)
	for _, d := range e.Details {
		value, err := base64.RawStdEncoding.DecodeString(d.Value)
		var detail v1.ErrorDetail
		if err != nil || proto.Unmarshal(value, &detail) != nil {
			t.Fatalf("detail %s %q: %v", d.Type, d.Value, err)
		}
		text += d.Type + " " + strings.ReplaceAll(prototext.Format(&detail), "  ", " ")
	}
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name != "Content-Length" && name != "Date" {
			text += fmt.Sprintln(name, a.header[name])
		}
	}
	return strings.ReplaceAll(text, chat, "CHAT")
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	code   string // of the error, "" for success
	body   []byte
}
