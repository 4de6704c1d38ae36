package wireformat

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatcore/domain"
)

// attachment is a reference as it is written.
type attachment struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	Size int64  `json:"size"`
	URL  string `json:"url"`
}

// durable writes the fields of its own that a durable event has.
func (w *writer) durable(e domain.Durable) {
	switch e := e.(type) {
	case domain.MessageNew:
		w.id("messageId", string(e.Message))
		w.id("chatId", string(e.Chat))
		w.id("senderId", string(e.Sender))
		w.text("content", string(e.Content))
		w.optional("replyTo", string(e.ReplyTo))
		if len(e.Mentions) > 0 {
			w.users("mentions", e.Mentions)
		}
		if len(e.Attachments) > 0 {
			w.attachments(e.Attachments)
		}
		w.object("clientMeta", string(e.ClientMeta))
		w.thread(e.Thread, e.InChat)
		if e.Broadcast != domain.NoBroadcast {
			w.name("broadcast", broadcastName(e.Broadcast), names(domain.BroadcastAll, broadcastName))
		}
		w.flag("mentioned", e.Mentioned)
		w.erased(e.Erased)
	case domain.MessageEdit:
		w.id("messageId", string(e.Message))
		w.id("chatId", string(e.Chat))
		w.id("editorId", string(e.Editor))
		w.text("content", string(e.Content))
		if e.Mentions != nil {
			w.users("mentions", e.Mentions)
		}
		if e.Attachments != nil {
			w.attachments(e.Attachments)
		}
		w.number("revision", int64(e.Revision))
		w.sent(e.Sent)
		w.thread(e.Thread, e.InChat)
		if len(e.MentionsAdded) > 0 {
			w.users("mentionsAdded", e.MentionsAdded)
		}
		if e.BroadcastRemoved {
			w.null("broadcast")
		}
		w.flag("mentioned", e.Mentioned)
		w.erased(e.Erased)
	case domain.MessageDelete:
		w.id("messageId", string(e.Message))
		w.id("chatId", string(e.Chat))
		w.id("deletedBy", string(e.By))
		w.optional("reason", string(e.Reason))
		w.sent(e.Sent)
		w.thread(e.Thread, e.InChat)
		w.flag("pinned", e.Pinned)
		w.flag("mentioned", e.Mentioned)
		w.erased(e.Erased)
	case domain.MessageErased:
		w.id("messageId", string(e.Message))
		w.id("chatId", string(e.Chat))
		w.unsigned("messageSeq", uint64(e.Sent))
		w.id("erasedBy", string(e.By))
		w.optional("reason", string(e.Reason))
	case domain.MessageReaction:
		w.id("messageId", string(e.Message))
		w.id("chatId", string(e.Chat))
		w.id("userId", string(e.User))
		w.text("emoji", string(e.Emoji))
		w.name("action", actionName(e.Action), names(domain.ReactionAdd, actionName))
	case domain.ReadReceipt:
		w.id("chatId", string(e.Chat))
		w.id("userId", string(e.User))
		w.id("messageId", string(e.Message))
		w.unsigned("readSeq", uint64(e.ReadSeq))
	case domain.ChatUpdate:
		w.id("chatId", string(e.Chat))
		w.id("actorId", string(e.Actor))
		w.name("change", changeName(e.Change), names(domain.Created, changeName))
		if e.Kind != domain.Group {
			w.name("kind", kindName(e.Kind), names(domain.Group, kindName))
		}
		if e.Change == domain.Created || e.Change == domain.Renamed {
			w.text("title", string(e.Title))
		}
		w.optional("userId", string(e.User))
		w.optional("role", roleName(e.Role))
		w.optional("previousRole", roleName(e.Previous))
		w.erased(e.Erased)
	case domain.ChatDeleted:
		w.id("chatId", string(e.Chat))
		w.id("deletedBy", string(e.By))
		w.optional("reason", string(e.Reason))
		w.flag("contentErased", e.ContentErased)
	case domain.ChatPolicy:
		w.id("chatId", string(e.Chat))
		w.id("actorId", string(e.Actor))
		if e.Visibility != 0 {
			w.name("visibility", visibilityName(e.Visibility), names(domain.Private, visibilityName))
		}
		if len(e.Permissions) > 0 {
			w.permissions(e.Permissions)
		}
	case domain.MemberRestriction:
		w.id("chatId", string(e.Chat))
		w.id("actorId", string(e.Actor))
		w.id("userId", string(e.User))
		w.name("restriction", restrictionName(e.Kind), names(domain.Ban, restrictionName))
		if !e.Until.IsZero() {
			w.instant("until", e.Until)
		}
		w.flag("lifted", e.Lifted)
		w.optional("reason", string(e.Reason))
		w.erased(e.Erased)
	case domain.ChatMetadata:
		w.id("chatId", string(e.Chat))
		w.id("actorId", string(e.Actor))
		if len(e.Set) > 0 {
			w.values("set", e.Set)
		}
		if len(e.Unset) > 0 {
			w.keys("unset", e.Unset)
		}
		w.erased(e.Erased)
	case domain.ChatSettings:
		w.settings(e)
	case domain.MessagePin:
		w.id("messageId", string(e.Message))
		w.id("chatId", string(e.Chat))
		w.unsigned("messageSeq", uint64(e.Sent))
		w.id("actorId", string(e.Actor))
		w.boolean("pinned", e.Pinned)
	case domain.ThreadMark:
		w.threadMark(e)
	case domain.Custom:
		w.id("chatId", string(e.Chat))
		w.id("actorId", string(e.Actor))
		w.optional("entity", string(e.Entity))
		w.object("data", e.Data)
		w.erased(e.Erased)
	}
}

// own refuses events that could be mistaken for the core's own, or could not be decoded.
func (w *writer) own(e domain.Custom) {
	if err := CheckCustomType(e.Type); err != nil {
		w.err = (&Error{Reason: ErrMalformed, Type: w.typ, Field: "type"}).invalid(err)
	}
	if e.Version < 1 {
		w.refuse("v", "is "+strconv.Itoa(e.Version), "a version from 1 on")
	}
	if e.Data == "" {
		w.refuse("data", "is empty", "one JSON object")
	}
}

// ephemeral writes the fields of its own that an ephemeral event has.
func (w *writer) ephemeral(e domain.Ephemeral) {
	switch e := e.(type) {
	case domain.UserStatus:
		w.id("userId", string(e.User))
		w.name("status", statusName(e.Status), names(domain.Offline, statusName))
		w.instant("lastSeen", e.LastSeen)
	case domain.TypingStart:
		w.id("chatId", string(e.Chat))
		w.id("userId", string(e.User))
		w.instant("expiresAt", e.ExpiresAt)
	case domain.TypingStop:
		w.id("chatId", string(e.Chat))
		w.id("userId", string(e.User))
	}
}

// permissions writes the roles of actions in the order of the actions; the default is null.
func (w *writer) permissions(roles map[domain.Action]domain.Role) {
	w.key("permissions")
	w.buf = append(w.buf, '{')
	for i, action := range slices.Sorted(maps.Keys(roles)) {
		w.comma(i)
		if permissionName(action) == "" {
			w.refuse("permissions", "has the action "+action.String(), strings.Join(ActionNames(), ", "))
		}
		w.quoted("permissions", permissionName(action))
		w.buf = append(w.buf, ':')
		switch role := roles[action]; {
		case role == domain.NoRole:
			w.buf = append(w.buf, "null"...)
		case roleName(role) == "":
			w.refuse("permissions", "has the role "+strconv.Itoa(int(role)), "member, admin, owner, or none for the default")
		default:
			w.quoted("permissions", roleName(role))
		}
	}
	w.buf = append(w.buf, '}')
}

// values writes an object of JSON values, ordered by key.
func (w *writer) values(name string, values map[string]domain.JSON) {
	w.key(name)
	w.buf = append(w.buf, '{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		w.comma(i)
		w.quoted(name, key)
		if !json.Valid([]byte(values[key])) || !utf8.ValidString(string(values[key])) {
			w.refuse(name, "has a value that is no JSON", "one JSON value")
		}
		w.buf = append(append(w.buf, ':'), values[key]...)
	}
	w.buf = append(w.buf, '}')
}

// keys writes an array of strings.
func (w *writer) keys(name string, all []string) {
	w.key(name)
	w.buf = append(w.buf, '[')
	for i, key := range all {
		w.comma(i)
		w.quoted(name, key)
	}
	w.buf = append(w.buf, ']')
}

func (w *writer) users(name string, users []domain.UserID) {
	w.key(name)
	w.buf = append(w.buf, '[')
	for i, user := range users {
		w.comma(i)
		w.quoted(name, string(user))
	}
	w.buf = append(w.buf, ']')
}

func (w *writer) attachments(all []domain.Attachment) {
	w.key("attachments")
	w.buf = append(w.buf, '[')
	for i, a := range all {
		w.comma(i)
		w.attachment(a)
	}
	w.buf = append(w.buf, ']')
}

// comma separates the i-th element of an array from the one before.
func (w *writer) comma(i int) {
	if i > 0 {
		w.buf = append(w.buf, ',')
	}
}

func (w *writer) attachment(a domain.Attachment) {
	if err := a.Check(); err != nil {
		w.refuse("attachments", "has one that is not valid", err.Error())
		return
	}
	raw, err := json.Marshal(attachment(a))
	if err != nil {
		w.refuse("attachments", "has one that is not JSON", "valid UTF-8")
	}
	w.buf = append(w.buf, raw...)
}

// event reads the fields of its own that an event of the reader's type has.
func (r *reader) event(at, now time.Time) domain.Event {
	chat := func() domain.ChatID { return id(r, "chatId", domain.ParseChatID) }
	message := func() domain.MessageID { return id(r, "messageId", domain.ParseMessageID) }
	user := func(field string) domain.UserID { return id(r, field, domain.ParseUserID) }
	switch r.typ {
	case TypeMessageNew:
		return r.messageNew(domain.MessageNew{Chat: chat(), Message: message(), Sender: user("senderId"), At: at})
	case TypeMessageEdit:
		return r.messageEdit(domain.MessageEdit{
			Chat: chat(), Message: message(), Editor: user("editorId"), Revision: r.integer("revision", !r.foreign), At: at,
		})
	case TypeMessageDelete:
		return domain.MessageDelete{
			Chat: chat(), Message: message(), By: user("deletedBy"), Reason: optional(r, "reason", domain.NewReason),
			Sent: r.sent(false), Thread: r.thread(), InChat: r.flag("inChat"), Pinned: r.flag("pinned"), Mentioned: r.flag("mentioned"),
			Erased: r.erased(), At: at,
		}
	case TypeMessageErased:
		return domain.MessageErased{
			Chat: chat(), Message: message(), Sent: r.sent(true), By: user("erasedBy"),
			Reason: optional(r, "reason", domain.NewReason), At: at,
		}
	case TypeMessageReaction:
		return domain.MessageReaction{
			Chat: chat(), Message: message(), User: user("userId"), Emoji: text(r, "emoji", domain.RecordedEmoji),
			Action: enum(r, "action", true, domain.ReactionAdd, actionName), At: at,
		}
	case TypeReadReceipt:
		return domain.ReadReceipt{
			Chat: chat(), User: user("userId"), Message: message(), ReadSeq: domain.Seq(r.unsigned("readSeq", 0, !r.foreign)), At: at,
		}
	case TypeChatUpdate:
		return domain.ChatUpdate{
			Chat: chat(), Actor: user("actorId"), Change: enum(r, "change", true, domain.Created, changeName),
			Kind:  enum(r, "kind", false, domain.Group, kindName),
			Title: optional(r, "title", domain.NewTitle), User: optional(r, "userId", domain.ParseUserID),
			Role:     enum(r, "role", false, domain.RoleMember, roleName),
			Previous: enum(r, "previousRole", false, domain.RoleMember, roleName), Erased: r.erased(), At: at,
		}
	case TypeChatDeleted:
		return domain.ChatDeleted{
			Chat: chat(), By: user("deletedBy"), Reason: optional(r, "reason", domain.NewReason), ContentErased: r.flag("contentErased"), At: at,
		}
	case TypeChatPolicy:
		return domain.ChatPolicy{
			Chat: chat(), Actor: user("actorId"), Visibility: enum(r, "visibility", false, domain.Private, visibilityName), Permissions: r.permissions(), At: at,
		}
	case TypeChatMetadata:
		return domain.ChatMetadata{Chat: chat(), Actor: user("actorId"), Set: r.values("set"), Unset: array[string](r, "unset"), Erased: r.erased(), At: at}
	case TypeMemberRestriction:
		return domain.MemberRestriction{
			Chat: chat(), Actor: user("actorId"), User: user("userId"), Kind: enum(r, "restriction", true, domain.Ban, restrictionName),
			Until: r.optionalInstant("until"), Lifted: r.flag("lifted"), Reason: optional(r, "reason", domain.NewReason),
			Erased: r.erased(), At: at,
		}
	case TypeChatSettings:
		return r.settings(domain.ChatSettings{Chat: chat(), User: user("userId"), At: at})
	case TypeMessagePin:
		return domain.MessagePin{Chat: chat(), Message: message(), Sent: r.sent(true), Actor: user("actorId"), Pinned: r.boolean("pinned"), At: at}
	case TypeThreadMark:
		return r.threadMark(domain.ThreadMark{Chat: chat(), Thread: id(r, "threadId", domain.ParseMessageID), User: user("userId"), At: at})
	case TypeUserStatus:
		return domain.UserStatus{
			User: user("userId"), Status: enum(r, "status", true, domain.Offline, statusName), LastSeen: r.instant("lastSeen", at), At: at,
		}
	case TypeTypingStart:
		return domain.TypingStart{Chat: chat(), User: user("userId"), ExpiresAt: r.instant("expiresAt", now.Add(domain.TypingTTL)), At: at}
	case TypeTypingStop:
		return domain.TypingStop{Chat: chat(), User: user("userId"), At: at}
	default: // custom; the caller knows the others
		data, _ := r.raw("data")
		return domain.Custom{
			Chat: chat(), Actor: user("actorId"), Type: domain.CustomType(r.typ), Version: r.v,
			Entity: optional(r, "entity", domain.ParseCustomID), Data: r.kept(data), Erased: r.erased(), At: at,
		}
	}
}

// isOwn reports whether the fields are those of a custom event. Its name may be one that was reserved since. No event of the core has a field data, so
// that no custom event is taken for one of a later version of the core, nor the other way round.
func (r *reader) isOwn() bool {
	data, there := r.raw("data")
	_, err := domain.ParseCustomType(r.typ)
	return there && data[0] == '{' && err == nil
}

func (r *reader) messageNew(e domain.MessageNew) domain.MessageNew {
	e.Attachments = r.attachments()
	content, _ := r.string("content", true)
	if content != "" || len(e.Attachments) == 0 && r.foreign {
		e.Content = checked(r, "content", content, domain.NewContent)
	}
	e.ReplyTo, e.Erased = optional(r, "replyTo", domain.ParseMessageID), r.erased()
	e.Mentions = r.users("mentions")
	e.Thread, e.InChat, e.Mentioned = r.thread(), r.flag("inChat"), r.flag("mentioned")
	e.Broadcast = enum(r, "broadcast", false, domain.BroadcastAll, broadcastName)
	meta, err := r.object("clientMeta")
	if err != nil {
		r.absent("clientMeta", true, false, "an object")
	}
	e.ClientMeta = checked(r, "clientMeta", meta, domain.NewClientMeta)
	return e
}

func (r *reader) messageEdit(e domain.MessageEdit) domain.MessageEdit {
	e.Mentions, e.Attachments, e.Erased = r.users("mentions"), r.attachments(), r.erased()
	e.Sent, e.Thread, e.InChat = r.sent(false), r.thread(), r.flag("inChat")
	e.MentionsAdded, e.BroadcastRemoved, e.Mentioned = r.users("mentionsAdded"), r.isNull("broadcast"), r.flag("mentioned")
	if e.Mentions == nil && r.emptyArray("mentions") {
		e.Mentions = []domain.UserID{}
	}
	if e.Attachments == nil && r.emptyArray("attachments") {
		e.Attachments = []domain.Attachment{}
	}
	content, _ := r.string("content", true)
	if content != "" || len(e.Attachments) == 0 && r.foreign {
		e.Content = checked(r, "content", content, domain.NewContent)
	}
	return e
}

// permissions reads the roles of actions. A role that is null is the default.
func (r *reader) permissions() map[domain.Action]domain.Role {
	raw, there := r.raw("permissions")
	if !there {
		return nil
	}
	var texts map[string]*string
	if err := json.Unmarshal([]byte(raw), &texts); err != nil {
		r.absent("permissions", true, false, "an object of strings and null")
		return nil
	}
	roles := make(map[domain.Action]domain.Role, len(texts))
	for text, of := range texts {
		action, ok := ParseAction(text)
		if !ok {
			r.refuse(r.wrong("permissions", "has the action "+strconv.Quote(text), strings.Join(ActionNames(), ", ")))
		}
		role := domain.NoRole
		if of != nil {
			if role, ok = ParseRole(*of); !ok {
				r.refuse(r.wrong("permissions", "has the role "+strconv.Quote(*of), strings.Join(names(domain.RoleMember, roleName), ", ")))
			}
		}
		roles[action] = role
	}
	if len(roles) == 0 {
		return nil
	}
	return roles
}

// values reads an object of JSON values as they stand. An empty one is nil.
func (r *reader) values(field string) map[string]domain.JSON {
	raw, there := r.raw(field)
	if !there {
		return nil
	}
	var texts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &texts); err != nil {
		r.absent(field, true, false, "an object")
		return nil
	}
	if len(texts) == 0 {
		return nil
	}
	values := make(map[string]domain.JSON, len(texts))
	for key, value := range texts {
		values[key] = domain.JSON(value)
	}
	return values
}

func (r *reader) users(field string) (all []domain.UserID) {
	for _, user := range array[string](r, field) {
		all = append(all, checked(r, field, user, domain.ParseUserID))
	}
	return all
}

func (r *reader) attachments() []domain.Attachment {
	var all []domain.Attachment
	for _, raw := range array[attachment](r, "attachments") {
		a := domain.Attachment(raw)
		if err := a.Check(); err != nil {
			r.refuse(r.wrong("attachments", "", "").invalid(err))
		}
		all = append(all, a)
	}
	return all
}
