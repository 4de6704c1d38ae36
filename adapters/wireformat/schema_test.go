package wireformat_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// schemas is where the JSON Schemas of events are, one file for each type.
const schemas = "../../docs/schemas"

// object is a JSON object. Its keys are written in order, so that a schema is the same each time.
type object = map[string]any

// property is a field of an event.
type property struct {
	name     string
	optional bool
	schema   object
}

func described(schema object, text string) object {
	schema = maps.Clone(schema)
	schema["description"] = text
	return schema
}

func required(name string, schema object, text string) property {
	return property{name, false, described(schema, text)}
}

func optional(name string, schema object, text string) property {
	return property{name, true, described(schema, text)}
}

var (
	textSchema    = object{"type": "string"}
	idSchema      = object{"type": "string", "minLength": 1, "maxLength": domain.MaxIDBytes}
	countSchema   = object{"type": "integer", "minimum": 1}
	instantSchema = object{"type": "string", "pattern": `^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$`}
	idsSchema     = object{"type": "array", "items": idSchema, "maxItems": domain.MaxMentions}
	filesSchema   = object{"type": "array", "maxItems": domain.MaxAttachments, "items": object{
		"type": "object", "required": []string{"name", "size", "url"},
		"properties": object{
			"name": object{"type": "string", "minLength": 1, "maxLength": 255},
			"type": object{"type": "string", "maxLength": 127},
			"size": object{"type": "integer", "minimum": 0, "maximum": domain.MaxAttachmentSize},
			"url":  object{"type": "string", "minLength": 1, "maxLength": 2048},
		},
	}}
	objectSchema = object{"type": "object"}
)

func named(values ...string) object { return object{"enum": values} }

// eventSchema is the JSON Schema of an event of a type.
func eventSchema(typ, title string, durable bool, own ...property) object {
	common := []property{
		required("eventId", idSchema, "Id of the event: the same wherever the event is read."),
		required("type", object{"const": typ}, "Type of the event, and name of its channel."),
		required("v", countSchema, "Version of the event's schema."),
		required("timestamp", instantSchema, "When it happened: RFC 3339 in UTC, with milliseconds."),
		optional("correlationId", textSchema, "Id of the request or import that it belongs to."),
		optional("causationId", textSchema, "Id of the command that it was recorded for."),
		optional("traceparent", textSchema, "W3C trace context of the command."),
	}
	if durable {
		common = append(common,
			required("seq", countSchema, "Place in the chat's log: dense, from 1."),
			required("ordinal", object{"type": "integer", "minimum": 0}, "Number of the chat's last message as of this event."))
	}
	properties, names := object{}, []string{}
	for _, p := range slices.Concat(common, own) {
		properties[p.name] = p.schema
		if !p.optional {
			names = append(names, p.name)
		}
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": fileOf(typ), "title": title,
		"description": "Readers ignore properties that they do not know. Lengths of texts are in bytes of UTF-8, which JSON Schema cannot say: it counts characters.",
		"type":        "object", "required": names, "properties": properties,
	}
}

func fileOf(typ string) string { return strings.ReplaceAll(typ, ":", ".") + ".json" }

// eventSchemas are the schemas of all events of the core, by file.
func eventSchemas() map[string]object {
	chat := required("chatId", idSchema, "Id of the chat.")
	message := required("messageId", idSchema, "Id of the message.")
	user := required("userId", idSchema, "Id of the user.")
	roles := named("member", "admin", "owner")
	all := map[string]object{}
	add := func(typ, title string, durable bool, own ...property) {
		all[fileOf(typ)] = eventSchema(typ, title, durable, own...)
	}
	messageSeq := optional("messageSeq", countSchema, "Seq of the message. Events of older programs are without it.")
	thread := optional("threadId", idSchema, "Id of the message whose thread the message is in. Without it the message is in the main timeline alone.")
	inChat := optional("inChat", object{"const": true}, "Whether the message of a thread is in the main timeline too.")
	mentioned := optional("mentioned", object{"const": true}, "Whether the event changes who is mentioned in the chat.")
	erased := optional("erased", object{"const": true}, "Whether the content was erased. Content is empty then, and the optional fields of the event are missing.")
	add(wireformat.TypeMessageNew, "A message was sent", true, message, chat,
		required("senderId", idSchema, "Id of the user that sent it."),
		required("content", textSchema, "Text, at most 16 KiB. It is empty only beside attachments and once it was erased."),
		optional("replyTo", idSchema, "Id of the message that it replies to."),
		optional("mentions", idsSchema, "Ids of the mentioned members."),
		optional("attachments", filesSchema, "References to files."),
		optional("clientMeta", objectSchema, "Object of the client, at most 4 KiB."), thread, inChat,
		optional("broadcast", named("all", "here"), "Whether it mentions all members, or those that are online."), mentioned, erased)
	add(wireformat.TypeMessageEdit, "A message was edited", true, message, chat,
		required("editorId", idSchema, "Id of the user that edited it."),
		required("content", textSchema, "Text from now on."),
		optional("mentions", idsSchema, "Ids of the mentioned members from now on. Without it they stay."),
		optional("attachments", filesSchema, "References from now on. Without it they stay."),
		required("revision", countSchema, "Number of edits of the message, this one included."), messageSeq, thread, inChat,
		optional("mentionsAdded", idsSchema, "Ids of the members that the message did not mention before."),
		optional("broadcast", object{"type": "null"}, "Null: the message no longer mentions a group of members."), mentioned, erased)
	add(wireformat.TypeMessageDelete, "A message was deleted", true, message, chat,
		required("deletedBy", idSchema, "Id of the user that deleted it."),
		optional("reason", textSchema, "Why, at most 1 KiB."), messageSeq, thread, inChat,
		optional("pinned", object{"const": true}, "Whether the message was pinned."), mentioned, erased)
	add(wireformat.TypeMessageErased, "The content of a message was erased", true, message, chat,
		required("messageSeq", countSchema, "Seq of the message."),
		required("erasedBy", idSchema, "Id of the user or service that erased it."),
		optional("reason", textSchema, "Why, at most 1 KiB."))
	add(wireformat.TypeMessageReaction, "A reaction was put or taken away", true, message, chat, user,
		required("emoji", textSchema, "The emoji, at most 64 bytes."),
		required("action", named("add", "remove"), "Whether the reaction was put or taken away."))
	add(wireformat.TypeReadReceipt, "A member has read up to a message", true, chat, user, message,
		required("readSeq", countSchema, "Seq up to which the member has read."))
	add(wireformat.TypeChatUpdate, "The chat or its members changed", true, chat,
		required("actorId", idSchema, "Id of the user that changed it."),
		required("change", named("created", "renamed", "member_added", "member_removed", "role_changed", "archived", "unarchived"), "What changed."),
		optional("kind", named("group", "direct"), "Kind of the chat, of created. Without it the chat is a group."),
		optional("title", textSchema, "Title, of created and renamed, at most 256 bytes."),
		optional("userId", idSchema, "Id of the member that was added, removed or given a role."),
		optional("role", roles, "Role from now on, of member_added and role_changed."),
		optional("previousRole", roles, "Role until now, of member_removed and role_changed."),
		optional("erased", object{"const": true}, "Whether the title was erased. It is empty then."))
	add(wireformat.TypeChatDeleted, "The chat was deleted", true, chat,
		required("deletedBy", idSchema, "Id of the user or service that deleted it."),
		optional("reason", textSchema, "Why, at most 1 KiB."),
		optional("contentErased", object{"const": true}, "Whether all earlier events of the chat have no content any more, but for those that a legal hold protects."))
	add(wireformat.TypeChatPolicy, "The policy of the chat changed", true, chat,
		required("actorId", idSchema, "Id of the user that changed it."),
		optional("visibility", named("private", "public"), "Who may see and join the chat from now on. Without it that stays."),
		optional("permissions", permissionsSchema(), "Roles that actions take from now on; null is the default. Actions that are missing stay."))
	add(wireformat.TypeChatMetadata, "The metadata of the chat changed", true, chat,
		required("actorId", idSchema, "Id of the user that changed it."),
		optional("set", object{"type": "object", "maxProperties": domain.MaxMetadataKeys}, "New values by key: any JSON."),
		optional("unset", object{"type": "array", "items": textSchema, "maxItems": domain.MaxMetadataKeys}, "Keys that are removed."),
		optional("erased", object{"const": true}, "Whether keys and values were erased. The event has none then."))
	seqOrNone := object{"type": "integer", "minimum": 0}
	add(wireformat.TypeChatSettings, "A user changed the own settings for the chat", true, chat, user,
		optional("notify", object{"enum": []any{"all", "mentions", "none", nil}}, "Messages to be notified of; null is the default."),
		optional("mutedUntil", object{"type": []string{"string", "null"}, "pattern": instantSchema["pattern"]}, "Until when notifications are muted; null: they are not."),
		optional("favourite", object{"type": "boolean"}, "Whether the chat is a favourite."),
		optional("hidden", object{"enum": []any{"untilMessage", "always", nil}}, "Whether the chat is left out of the user's list; null: it is not."),
		optional("hiddenSeq", countSchema, "Last seq of the chat when it was hidden until the next message."),
		optional("unreadSeq", seqOrNone, "Seq of the first message that counts as unread; 0 takes that back."))
	add(wireformat.TypeMessagePin, "A message was pinned, or its pin was removed", true, message, chat,
		required("messageSeq", countSchema, "Seq of the message."),
		required("actorId", idSchema, "Id of the user that did it."),
		required("pinned", object{"type": "boolean"}, "Whether the message is pinned from now on."))
	add(wireformat.TypeThreadMark, "A user has read a thread, or follows it", true, chat, user,
		required("threadId", idSchema, "Id of the message whose thread it is."),
		optional("readSeq", countSchema, "Seq of the last reply that the user has read."),
		optional("messageId", idSchema, "Id of that reply."),
		optional("following", object{"type": []string{"boolean", "null"}}, "Whether the user follows the thread; null is the default."))
	add(wireformat.TypeMemberRestriction, "A user was restricted, or a restriction was lifted", true, chat,
		required("actorId", idSchema, "Id of the user that restricted the other one."),
		user,
		required("restriction", named("ban", "mute", "block"), "What is forbidden: to be a member, to write, or in a direct chat to reach each other."),
		optional("until", instantSchema, "When it ends by itself. Without it there is no such time."),
		optional("lifted", object{"type": "boolean"}, "Whether the restriction ended with this event."),
		optional("reason", textSchema, "Why, at most 1 KiB."),
		optional("erased", object{"const": true}, "Whether the reason was erased."))
	add(wireformat.TypeUserStatus, "The status of a user changed", false, user,
		required("status", named("online", "away", "busy", "offline"), "The status."),
		required("lastSeen", instantSchema, "When a device of the user was last alive."))
	add(wireformat.TypeTypingStart, "A user began to type", false, chat, user,
		required("expiresAt", instantSchema, "When the mark ends unless it is renewed."))
	add(wireformat.TypeTypingStop, "A user no longer types", false, chat, user)
	all["custom.json"] = customSchema(chat)
	return all
}

func permissionsSchema() object {
	roles := object{"enum": []any{"member", "admin", "owner", nil}}
	actions := object{}
	for _, action := range wireformat.ActionNames() {
		actions[action] = roles
	}
	return object{"type": "object", "properties": actions}
}

// customSchema is the schema of custom events, whose types are defined by a team.
func customSchema(chat property) object {
	schema := eventSchema("custom", "A custom event", true, chat,
		required("actorId", idSchema, "Id of the user that caused it."),
		optional("entity", idSchema, "Id of the entity whose version it moves."),
		required("data", objectSchema, "Data of the event, as its type says. They are empty once they were erased."),
		optional("erased", object{"const": true}, "Whether the data were erased."))
	properties, _ := schema["properties"].(object)
	properties["type"] = described(object{"type": "string", "pattern": "^[a-z0-9._-]+(:[a-z0-9._-]+)+$"}, "Type of the event. It begins with no word of the core's own types.")
	return schema
}

func written(t *testing.T, schema object) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSchemas_AreThoseOfTheDocs compares docs/schemas with the schemas of this file. With -update it writes them.
func TestSchemas_AreThoseOfTheDocs(t *testing.T) {
	all := eventSchemas()
	for name, schema := range all {
		path, want := filepath.Join(schemas, name), written(t, schema)
		if *update {
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) { //nolint:gosec // a file of the repository
			t.Errorf("%s is not the schema of this test (error %v): run go test with -update", path, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(schemas, "*.json"))
	if err != nil || len(files) != len(all) {
		t.Errorf("there are the files %q, error %v; the schemas are %d", files, err, len(all))
	}
	for _, typ := range wireformat.LiveTypes() {
		if all[fileOf(typ)] == nil {
			t.Errorf("%s has no schema", typ)
		}
	}
}

// validator returns the compiled schema of a type.
func validator(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	compiled, err := jsonschema.NewCompiler().Compile(filepath.Join(schemas, file))
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func parsed(t *testing.T, payload []byte) map[string]any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		t.Fatalf("%s is no object", payload)
	}
	return fields
}

// TestSchemas_AcceptGoldenFiles holds the golden payloads against the schemas: each is valid, also with a field that nobody knows, and none is without one of
// the required fields, or with one of another type.
func TestSchemas_AcceptGoldenFiles(t *testing.T) {
	payloads, err := filepath.Glob("testdata/*.json")
	if err != nil || len(payloads) == 0 {
		t.Fatalf("golden files %q, error %v", payloads, err)
	}
	for _, path := range payloads {
		payload, err := os.ReadFile(path) //nolint:gosec // a file of the repository
		if err != nil {
			t.Fatal(err)
		}
		typ, _ := parsed(t, payload)["type"].(string)
		checkPayload(t, fileOf(typ), payload)
	}
	custom := domain.Custom{Chat: "room-1", Actor: "ada", Type: "poll:voted", Version: 1, Entity: "p-1", Data: `{"choice":2}`, At: at}
	checkPayload(t, "custom.json", encode(t, custom, ports.Meta{}))
}

func checkPayload(t *testing.T, file string, payload []byte) {
	t.Helper()
	schema := validator(t, file)
	if err := schema.Validate(parsed(t, payload)); err != nil {
		t.Errorf("%s refuses %s: %v", file, payload, err)
	}
	wider := parsed(t, payload)
	wider["later"] = "field"
	if err := schema.Validate(wider); err != nil {
		t.Errorf("%s refuses a field of a later version: %v", file, err)
	}
	for _, name := range schema.Required {
		without := parsed(t, payload)
		delete(without, name)
		if schema.Validate(without) == nil {
			t.Errorf("%s accepts a payload without %s", file, name)
		}
	}
	for name := range schema.Properties {
		wrong := parsed(t, payload)
		if _, there := wrong[name]; !there {
			continue
		}
		wrong[name] = []any{true}
		if schema.Validate(wrong) == nil {
			t.Errorf("%s accepts a list of true as %s", file, name)
		}
	}
	known := schema.Properties
	for name := range parsed(t, payload) {
		if known[name] == nil {
			t.Errorf("%s does not describe %s", file, name)
		}
	}
}

// TestSchemas_RequireWhatTheReaderRequires takes each required field away: the reader of a log refuses the event as well.
func TestSchemas_RequireWhatTheReaderRequires(t *testing.T) {
	for name, e := range samples() {
		if name != "message_new" && name != "message_delete" && name != "message_reaction" && name != "chat_archived" {
			continue
		}
		payload := encode(t, e, ports.Meta{})
		for _, field := range validator(t, fileOf(wireformat.Type(e))).Required {
			if field == "ordinal" { // added later: events of earlier versions are without it
				continue
			}
			without := parsed(t, payload)
			delete(without, field)
			raw, err := json.Marshal(without)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := wireformat.New().Decode(raw); err == nil {
				t.Errorf("%s without %s is read as if it were whole", name, field)
			}
		}
	}
}
