package feedreader

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	v1 "chatcore/gen/chatcore/v1"
	v1connect "chatcore/gen/chatcore/v1/chatcorev1connect"
)

// Protocol is the protocol of a reader.
type Protocol string

// The protocols.
const (
	Connect      Protocol = "connect"
	GRPC         Protocol = "grpc" // over HTTP/2
	ServerEvents Protocol = "server-sent events"
)

// stream is one connection of a reader.
type stream interface {
	next() (*v1.WatchResponse, error)
	close()
}

// statedError is an error that the server has stated.
type statedError struct {
	code    rpc.Code
	message string
}

func (e *statedError) Error() string { return fmt.Sprintf("%s: %s", e.code, e.message) }

func stated(err error) error {
	if rpc.IsWireError(err) {
		return &statedError{rpc.CodeOf(err), err.Error()}
	}
	return err
}

type watchStream struct {
	*rpc.ServerStreamForClient[v1.WatchResponse]
	cancel context.CancelFunc
}

func openWatch(ctx context.Context, client *http.Client, base, token string, p Protocol, r *v1.WatchRequest) (stream, error) {
	var options []rpc.ClientOption
	if p == GRPC {
		options = append(options, rpc.WithGRPC())
	}
	ctx, cancel := context.WithCancel(ctx)
	ctx, info := rpc.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+token)
	s, err := v1connect.NewFeedServiceClient(client, base, options...).Watch(ctx, r)
	if err != nil {
		cancel()
		return nil, stated(err)
	}
	return &watchStream{s, cancel}, nil
}

func (s *watchStream) next() (*v1.WatchResponse, error) {
	if s.Receive() {
		return s.Msg(), nil
	}
	if err := s.Err(); err != nil {
		return nil, stated(err)
	}
	return nil, io.EOF
}

func (s *watchStream) close() {
	s.cancel()
	_ = s.Close()
}

// eventsStream is a connection with server-sent events.
type eventsStream struct {
	answer *http.Response
	lines  *bufio.Reader
	cancel context.CancelFunc
	keep   func(id string) // takes the id of an event before the event is returned
}

func openEvents(ctx context.Context, client *http.Client, base, token, lastID string, r *v1.WatchRequest, keep func(string)) (stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/feed?"+query(r).Encode(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := client.Do(request) //nolint:bodyclose // close closes it
	if err != nil {
		cancel()
		return nil, err
	}
	s := &eventsStream{answer: answer, lines: bufio.NewReader(answer.Body), cancel: cancel, keep: keep}
	if answer.StatusCode != http.StatusOK {
		defer s.close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		return nil, errorOf(text)
	}
	return s, nil
}

// query returns a request as the parameters of server-sent events.
func query(r *v1.WatchRequest) url.Values {
	q := make(url.Values)
	for _, c := range r.GetChats() {
		text := strings.NewReplacer("%", "%25", ":", "%3A").Replace(c.GetChatId())
		if c.AfterSeq != nil {
			text += fmt.Sprint(":", c.GetAfterSeq())
		}
		q.Add("chat", text)
	}
	if r.GetAllChats() {
		q.Set("all_chats", "true")
	}
	if r.GetActorId() != "" {
		q.Set("actor_id", r.GetActorId())
	}
	if r.GetMaxCatchUp() > 0 {
		q.Set("max_catch_up", fmt.Sprint(r.GetMaxCatchUp()))
	}
	return q
}

// errorOf returns the error that a body states.
func errorOf(text []byte) error {
	var body struct {
		Code    rpc.Code `json:"code"`
		Message string   `json:"message"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("%w: %.200q", err, text)
	}
	return &statedError{body.Code, body.Message}
}

func (s *eventsStream) next() (*v1.WatchResponse, error) {
	var kind, data, id string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			kind = value
		case "data":
			data = value
		case "id":
			id = value
		case "":
			if kind == "error" {
				return nil, errorOf([]byte(data))
			}
			if id != "" {
				s.keep(id)
			}
			m := new(v1.WatchResponse)
			return m, protojson.Unmarshal([]byte(data), m)
		}
	}
}

func (s *eventsStream) close() {
	s.cancel()
	_ = s.answer.Body.Close()
}
