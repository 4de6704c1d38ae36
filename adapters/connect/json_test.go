package connect_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"

	v1 "chatcore/gen/chatcore/v1"
)

// post posts a body to a path, and returns status, header and body of the answer.
func (w *world) post(t *testing.T, path, contentType, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	return w.request(t, http.MethodPost, path, strings.NewReader(body), append(header, "Content-Type", contentType)...)
}

// request sends a request; header has names and values in turn.
func (w *world) request(t *testing.T, verb, path string, body io.Reader, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), verb, w.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(answer.Header, answer.Trailer) // where gRPC has its errors
	return answer.StatusCode, answer.Header, string(text)
}

// postJSON posts a body to a method of the API, and returns the error of the answer.
func (w *world) postJSON(t *testing.T, path, body string, header ...string) *refusal {
	t.Helper()
	status, head, text := w.post(t, path, "application/json", body, header...)
	if status == http.StatusOK {
		return nil
	}
	return asRefusal(t, status, head, text)
}

func asRefusal(t *testing.T, status int, header http.Header, text string) *refusal {
	t.Helper()
	r, ok := errorAs[*refusal](jsonRefusal(&http.Response{StatusCode: status, Header: header}, []byte(text)))
	if !ok {
		t.Fatalf("status %d, %v, body %q", status, header, text)
	}
	return r
}

const (
	sendPath = "/chatcore.v1.MessageService/SendMessage"
	editPath = "/chatcore.v1.MessageService/EditMessage"
	markPath = "/chatcore.v1.MessageService/MarkRead"
	getPath  = "/chatcore.v1.ChatService/GetChat"
)

// TestJSON_IsStrict has each malformed body name the field and what it allows.
func TestJSON_IsStrict(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	for _, row := range []struct{ path, body, field, problem, allowed string }{
		{sendPath, `{"chatId":"c","contents":"x"}`, "contents", "is unknown", "chat_id, actor_id, message_id, content"},
		{sendPath, `{"attachments":[{"name":"a"},{"uri":"x"}]}`, "attachments[1].uri", "is unknown", "name, type, size, url"},
		{editPath, `{"mentions":{"userIds":[],"users":[]}}`, "mentions.users", "is unknown", "user_ids"},
		{sendPath, `{"chatId":5}`, "chat_id", "is 5", "a string"},
		{sendPath, `{"chat_id":["c"]}`, "chat_id", "is an array", "a string"},
		{sendPath, `{"mentions":"bob"}`, "mentions", `is "bob"`, "a JSON array"},
		{sendPath, `{"mentions":["bob",null]}`, "mentions[1]", "is null", "a string"},
		{sendPath, `{"mentions":["bob",{}]}`, "mentions[1]", "is an object", "a string"},
		{sendPath, `{"attachments":[{"size":1.5}]}`, "attachments[0].size", "is 1.5", "a whole number of 64 bits"},
		{sendPath, `{"attachments":[{"size":"9223372036854775808"}]}`, "attachments[0].size", "is 9223372036854775808", "a whole number of 64 bits"},
		{sendPath, `{"attachments":[5]}`, "attachments[0]", "is 5", "a JSON object"},
		{getPath, `{"atSeq":4294967296}`, "at_seq", "is 4294967296", "from 0 to 4294967295"},
		{getPath, `{"atSeq":-1}`, "at_seq", "is -1", "from 0 to 4294967295"},
		{getPath, `{"atSeq":"x"}`, "at_seq", "is x", "from 0 to 4294967295"},
		{getPath, `{"atSeq":1e999999999}`, "at_seq", "is 1e999999999", "from 0 to 4294967295"},
		{getPath, `{"atSeq":true}`, "at_seq", "is true", "from 0 to 4294967295"},
		{markPath, `{"awaitRecorded":"yes"}`, "await_recorded", `is "yes"`, "true or false"},
		{markPath, `{"messageId":"m","seq":1}`, "seq", "is given beside another field of position", "one of them"},
		{"/chatcore.v1.ChatService/PromoteMember", `{"role":"ROLE_KING"}`, "role", `is "ROLE_KING"`, "ROLE_MEMBER, ROLE_ADMIN, ROLE_OWNER"},
		{sendPath, `{"chatId":"a","chat_id":"b"}`, "chat_id", "is given twice", "each field once"},
		{sendPath, `[]`, "body", "is an array", "a JSON object"},
		{sendPath, `null`, "body", "is null", "a JSON object"},
		{sendPath, ``, "body", "is empty", "one JSON object"},
		{sendPath, `{`, "body", "is no JSON", "one JSON object"},
		{sendPath, `{} {}`, "body", "is no JSON", "one JSON object"},
		{sendPath, "{\"content\":\"\xff\"}", "", "UTF-8", ""},
		{sendPath, strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), "a", "is unknown", "chat_id"},
		{sendPath, `{"content":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`, "content", "is an array", "a string"},
	} {
		t.Run(fmt.Sprintf("%.60s", row.body), func(t *testing.T) {
			r := w.postJSON(t, row.path, row.body)
			if r == nil || r.code != rpc.CodeInvalidArgument || r.detail.GetReason() != "invalid" || row.field != "" && r.detail.GetField() != row.field ||
				!strings.Contains(r.detail.GetProblem(), row.problem) || !strings.Contains(r.detail.GetAllowed(), row.allowed) || !strings.Contains(r.message, r.detail.GetField()) {
				t.Errorf("the error is %v", r)
			}
		})
	}
}

// TestJSON_TakesWhatProtobufDefines has both names of fields, numbers as strings and null for an unset field be accepted.
func TestJSON_TakesWhatProtobufDefines(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	for i, body := range []string{
		`{"chat_id":%q,"actor_id":"ada","message_id":"m%d","content":"x","attachments":[{"name":"a","url":"u","size":"5"}]}`,
		`{"chatId":%q,"actorId":"ada","messageId":"m%d","content":"x","attachments":[{"name":"a","url":"u","size":5}],"replyTo":null,"mentions":null}`,
	} {
		if r := w.postJSON(t, sendPath, fmt.Sprintf(body, chat, i)); r != nil {
			t.Error(r)
		}
	}
	for _, charset := range []string{"application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"} {
		status, header, text := w.post(t, getPath, charset, fmt.Sprintf(`{"chatId":%q,"atSeq":"2"}`, chat))
		if status != http.StatusOK || !strings.Contains(text, `"title":"Title"`) {
			t.Errorf("%s: status %d, %v, %s", charset, status, header, text)
		}
	}
}

// TestJSON_AnswersHaveNoWhiteSpace has answers be the same bytes each time.
func TestJSON_AnswersHaveNoWhiteSpace(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	_, _, text := w.post(t, sendPath, "application/json", fmt.Sprintf(`{"chatId":%q,"actorId":"ada","messageId":"m","content":"x"}`, w.chat(t)))
	if text != `{"messageId":"m","seq":3}` {
		t.Errorf("the answer is %s", text)
	}
}

// TestGet_DecodesStrictly has the query of a GET be decoded as a body is.
func TestGet_DecodesStrictly(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	chat := w.chat(t)
	get := func(query url.Values) (int, http.Header, string) {
		return w.request(t, http.MethodGet, getPath+"?"+query.Encode(), nil)
	}
	if status, _, text := get(url.Values{"encoding": {"json"}, "message": {fmt.Sprintf(`{"chatId":%q}`, chat)}}); status != http.StatusOK || !strings.Contains(text, "Title") {
		t.Errorf("status %d, %s", status, text)
	}
	status, header, text := get(url.Values{"encoding": {"json"}, "message": {`{"chat":"x"}`}})
	if r := asRefusal(t, status, header, text); r.code != rpc.CodeInvalidArgument || r.detail.GetField() != "chat" {
		t.Errorf("the error is %v", r)
	}
	for _, query := range []url.Values{{}, {"encoding": {"xml"}, "message": {"{}"}}, {"encoding": {"json"}}} {
		status, header, text := get(query)
		if r := asRefusal(t, status, header, text); r.code != rpc.CodeInvalidArgument || status != http.StatusBadRequest {
			t.Errorf("%v: status %d, %v", query, status, r)
		}
	}
	status, header, text = w.request(t, http.MethodGet, sendPath+"?encoding=json&message=%7B%7D", nil)
	if r := asRefusal(t, status, header, text); status != http.StatusMethodNotAllowed || header.Get("Allow") != http.MethodPost || r.code != rpc.CodeUnimplemented {
		t.Errorf("a command by GET: status %d, %v, %v", status, header, r)
	}
}

// TestRequests_OutsideTheProtocols has unknown methods, wrong verbs and wrong content types be answered clearly, in the form of the caller's protocol.
func TestRequests_OutsideTheProtocols(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	for _, row := range []struct {
		verb, path, contentType string
		status                  int
		code                    rpc.Code
		names                   string
	}{
		{http.MethodPost, "/chatcore.v1.ChatService/Nothing", "application/json", http.StatusNotImplemented, rpc.CodeUnimplemented, "CreateChat"},
		{http.MethodPost, "/chatcore.v1.NoService/CreateChat", "application/json", http.StatusNotImplemented, rpc.CodeUnimplemented, "chatcore.v1.ChatService"},
		{http.MethodPost, "/", "application/json", http.StatusNotImplemented, rpc.CodeUnimplemented, "chatcore.v1.ChatService"},
		{http.MethodGet, "/favicon.ico", "", http.StatusNotImplemented, rpc.CodeUnimplemented, "chatcore.v1.ChatService"},
		{http.MethodPost, getPath, "application/connect+json", http.StatusUnsupportedMediaType, rpc.CodeInvalidArgument, "application/json"},
		{http.MethodPost, getPath, "application/json; charset=latin1", http.StatusUnsupportedMediaType, rpc.CodeInvalidArgument, "application/json"},
		{http.MethodPost, getPath, "application/grpc+xml", http.StatusUnsupportedMediaType, rpc.CodeInvalidArgument, "application/grpc"},
	} {
		status, header, text := w.request(t, row.verb, row.path, strings.NewReader("{}"), "Content-Type", row.contentType)
		r := asRefusal(t, status, header, text)
		if status != row.status || r.code != row.code || !strings.Contains(r.message, row.names) {
			t.Errorf("%s %s: status %d, %v", row.verb, row.path, status, r)
		}
	}
	m := methodNamed(t, "chatcore.v1.ChatService.GetChat")
	for _, via := range transports(t)[2:] { // clients that expect the form of their protocol
		_, err := via.call(t.Context(), w.url+"/elsewhere", m, &v1.GetChatRequest{}, nil)
		if via.name == "grpc" { // its target is no URL
			_, err = grpcInvoke(t.Context(), w.url, "/elsewhere.Service/Method", m, &v1.GetChatRequest{}, nil)
		}
		if r, ok := errorAs[*refusal](err); !ok || r.code != rpc.CodeUnimplemented || r.detail.GetReason() != "unknown_service" {
			t.Errorf("%s: %v", via.name, err)
		}
	}
}
