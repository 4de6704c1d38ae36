package connect_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// fuzzed is a handler without a network, over a core in memory.
type fuzzed struct {
	*world
	handler http.Handler
	unary   []protoreflect.MethodDescriptor
}

func newFuzzed(f *testing.F) *fuzzed {
	f.Helper()
	w := memoryWorld(f, worldConfig{})
	handler, err := connect.New(w.core, connect.Config{EventTypes: map[domain.CustomType]int{"poll:voted": 3}, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	if err != nil {
		f.Fatal(err)
	}
	z := &fuzzed{world: w, handler: handler}
	for _, m := range methods() {
		if unary(m) {
			z.unary = append(z.unary, m)
		}
	}
	return z
}

// seeds adds a filled and an empty request of each method.
func (z *fuzzed) seeds(f *testing.F, add func(method uint8, req proto.Message)) {
	f.Helper()
	for i, m := range z.unary {
		req := newMessage(m.Input())
		fill(req.ProtoReflect(), 3)
		add(uint8(i), req)
		add(uint8(i), newMessage(m.Input()))
	}
}

// fill sets each field of a message to a value that may be valid.
func fill(m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		var v protoreflect.Value
		switch {
		case f.Message() != nil && depth == 0:
			continue
		case f.IsMap():
			continue
		case f.Message() != nil && f.IsList():
			list := m.NewField(f)
			fill(list.List().AppendMutable().Message(), depth-1)
			m.Set(f, list)
			continue
		case f.Message() != nil:
			value := m.NewField(f)
			fill(value.Message(), depth-1)
			m.Set(f, value)
			continue
		case f.Kind() == protoreflect.StringKind:
			v = protoreflect.ValueOfString(seedText(string(f.Name())))
		case f.Kind() == protoreflect.Uint32Kind:
			v = protoreflect.ValueOfUint32(1)
		case f.Kind() == protoreflect.Int64Kind:
			v = protoreflect.ValueOfInt64(1)
		case f.Kind() == protoreflect.EnumKind:
			v = protoreflect.ValueOfEnum(1)
		case f.Kind() == protoreflect.BoolKind:
			v = protoreflect.ValueOfBool(true)
		default:
			continue
		}
		if f.IsList() {
			list := m.NewField(f)
			list.List().Append(v)
			v = list
		}
		m.Set(f, v)
	}
}

func seedText(field string) string {
	switch field {
	case "chat_id":
		return "seed"
	case "actor_id":
		return "ada"
	case "user_id":
		return "bob"
	case "page_token":
		return ""
	case "type":
		return "poll:voted"
	case "data", "client_meta":
		return `{"a":1}`
	case "emoji":
		return "👍"
	}
	return "x"
}

// serveFuzzed serves one request of a service, and returns its error.
func (z *fuzzed) serveFuzzed(m protoreflect.MethodDescriptor, contentType, body string, header http.Header) error {
	r := httptest.NewRequest(http.MethodPost, pathOf(m), strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", contentType)
	r = r.WithContext(auth.With(context.Background(), auth.Service{ID: "fuzz", Scopes: auth.AllScopes()}))
	w := httptest.NewRecorder()
	z.handler.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(w.Body)
	if err != nil {
		return err
	}
	return jsonRefusal(&http.Response{StatusCode: w.Code, Header: w.Header()}, text)
}

// check fails the test for an error that no request may cause.
func (z *fuzzed) check(t *testing.T, m protoreflect.MethodDescriptor, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if wrong := checkRefusal(m, err); wrong != nil {
		t.Errorf("%s: %v\nlog: %s", m.FullName(), wrong, z.log)
	}
}

func FuzzJSONBody(f *testing.F) {
	z := newFuzzed(f)
	create(f, z.core)
	z.seeds(f, func(method uint8, req proto.Message) {
		text, err := protojson.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, string(text))
	})
	for _, text := range []string{"", "null", "[]", "{", `{"a":1}`, `{"chatId":null}`, `{"messages":[null]}`, `{"messages":[{}]}`, strings.Repeat("[", 100)} {
		for i := range z.unary {
			f.Add(uint8(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, body string) {
		m := z.unary[int(method)%len(z.unary)]
		z.check(t, m, z.serveFuzzed(m, "application/json", body, nil))
	})
}

func FuzzProtoBody(f *testing.F) {
	z := newFuzzed(f)
	create(f, z.core)
	z.seeds(f, func(method uint8, req proto.Message) {
		raw, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, raw)
		f.Add(method, append(raw, 0xff))
		f.Add(method, append(raw, "\xfa\xff\xff\xff\x0f\x03abc"...)) // the field in which a codec leaves its error
	})
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		m := z.unary[int(method)%len(z.unary)]
		z.check(t, m, z.serveFuzzed(m, "application/proto", string(body), nil))
	})
}

func FuzzPageToken(f *testing.F) {
	z := newFuzzed(f)
	create(f, z.core)
	var lists []protoreflect.MethodDescriptor
	for _, m := range z.unary {
		if m.Input().Fields().ByName("page_token") != nil {
			lists = append(lists, m)
		}
	}
	for i := range lists {
		for _, token := range []string{"", "x", "AAAAAAAAAAAAAAAA", "====", "\x00"} {
			f.Add(uint8(i), token, true)
		}
		for _, cursor := range []string{"a1", "b1", "b0", "a", "c1", "-1", "0", "18446744073709551616", "x y", "\xff", "2026-01-01T00:00:00Z c", "1=x", "1001=x"} {
			f.Add(uint8(i), cursor, false)
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, token string, whole bool) {
		m := lists[int(method)%len(lists)]
		req := newMessage(m.Input())
		fill(req.ProtoReflect(), 0)
		if !whole { // a token that is bound to the list, with any cursor
			token = connect.PageToken(req, token)
		}
		if !utf8.ValidString(token) {
			return
		}
		err := z.serveFuzzed(m, "application/proto", string(mustMarshal(t, paged(req, 1, token))), nil)
		z.check(t, m, err)
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	z := newFuzzed(f)
	if _, err := z.core.Chats.Create(f.Context(), domain.Create{Chat: "renamed", Actor: "ada"}); err != nil { // no other command has an id there
		f.Fatal(err)
	}
	for _, key := range []string{"", "a", "a b", "\xff", strings.Repeat("x", 129), "é", "\u200b", `"x"`} {
		f.Add(key, "")
		f.Add(key, key)
	}
	m := methodNamed(f, "chatcore.v1.ChatService.RenameChat")
	f.Fuzz(func(t *testing.T, key, field string) {
		if !utf8.ValidString(field) {
			return
		}
		req := &v1.RenameChatRequest{ChatId: "renamed", ActorId: "ada", CommandId: field, Title: "Title"}
		err := z.serveFuzzed(m, "application/proto", string(mustMarshal(t, req)), http.Header{"Idempotency-Key": {key}})
		z.check(t, m, err)
		if _, invalid := domain.ParseCommandID(key); (invalid == nil && (field == "" || field == key)) != (err == nil) {
			t.Errorf("key %q, field %q: %v", key, field, err)
		}
	})
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// create creates the chat that seeds are about, with a message and an event of a custom entity.
func create(f *testing.F, core *chatcore.Core) {
	f.Helper()
	_, err := core.Chats.Create(f.Context(), domain.Create{Chat: "seed", Actor: "ada", Members: []domain.UserID{"bob"}})
	for _, id := range []domain.MessageID{"x", "y"} {
		_, sent := core.Chats.Send(f.Context(), domain.Send{Chat: "seed", Actor: "ada", MessageID: id, Content: "x"})
		_, recorded := core.Chats.Record(f.Context(), domain.Record{Chat: "seed", Actor: "ada", Event: vote{}, Entity: "x", Command: domain.CommandID(id)})
		err = errors.Join(err, sent, recorded)
	}
	if err != nil {
		f.Fatal(err)
	}
}
