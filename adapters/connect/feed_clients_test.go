package connect_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
)

// feedReader is an open feed as its client sees it.
type feedReader interface {
	// next returns the next message. The error of a feed that the server ended is a [*refusal].
	next() (*v1.WatchResponse, error)
	close()
}

// feedClient opens feeds over one protocol.
type feedClient struct {
	name string
	open func(ctx context.Context, base string, req *v1.WatchRequest, header http.Header) (feedReader, error)
}

// feedClients returns a client of each protocol. Their connections are closed with the test.
func feedClients(t testing.TB) []feedClient {
	t.Helper()
	one := &http.Transport{}
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	two := &http.Transport{Protocols: &only}
	t.Cleanup(func() {
		one.CloseIdleConnections()
		two.CloseIdleConnections()
	})
	h1, h2 := &http.Client{Transport: one}, &http.Client{Transport: two}
	return []feedClient{
		{"connect proto over HTTP/1.1", watch(h1)},
		{"connect json over HTTP/2", watch(h2, rpc.WithProtoJSON())},
		{"grpc", watchGRPC},
		{"grpc-web json", watch(h1, rpc.WithGRPCWeb(), rpc.WithProtoJSON())},
		{"server-sent events", func(ctx context.Context, base string, req *v1.WatchRequest, header http.Header) (feedReader, error) {
			return openEvents(ctx, h1, base+"/v1/feed?"+eventQuery(req).Encode(), header)
		}},
		{"server-sent events over HTTP/2", func(ctx context.Context, base string, req *v1.WatchRequest, header http.Header) (feedReader, error) {
			return openEvents(ctx, h2, base+"/v1/feed?"+eventQuery(req).Encode(), header)
		}},
	}
}

// watch opens feeds with a client of connect-go.
func watch(client *http.Client, options ...rpc.ClientOption) func(context.Context, string, *v1.WatchRequest, http.Header) (feedReader, error) {
	return func(ctx context.Context, base string, req *v1.WatchRequest, header http.Header) (feedReader, error) {
		ctx, cancel := context.WithCancel(ctx)
		ctx, info := rpc.NewClientContext(ctx)
		for name, values := range header {
			info.RequestHeader()[name] = values
		}
		stream, err := chatcorev1connect.NewFeedServiceClient(client, base, options...).Watch(ctx, req)
		if err != nil {
			cancel()
			return nil, refusalOf(err)
		}
		return &connectFeed{stream, cancel}, nil
	}
}

type connectFeed struct {
	stream *rpc.ServerStreamForClient[v1.WatchResponse]
	cancel context.CancelFunc
}

func (f *connectFeed) next() (*v1.WatchResponse, error) {
	if f.stream.Receive() {
		return f.stream.Msg(), nil
	}
	if err := f.stream.Err(); err != nil {
		return nil, refusalOf(err)
	}
	return nil, io.EOF
}

func (f *connectFeed) close() {
	f.cancel()
	_ = f.stream.Close()
}

// watchGRPC opens a feed with grpc-go.
func watchGRPC(ctx context.Context, base string, req *v1.WatchRequest, header http.Header) (feedReader, error) {
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(base, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), v)
		}
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/chatcore.v1.FeedService/Watch")
	if err == nil {
		err = errors.Join(stream.SendMsg(req), stream.CloseSend())
	}
	if err != nil {
		_ = conn.Close()
		return nil, grpcRefusal(err)
	}
	return &grpcFeed{conn, stream}, nil
}

type grpcFeed struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
}

func (f *grpcFeed) next() (*v1.WatchResponse, error) {
	m := new(v1.WatchResponse)
	if err := f.stream.RecvMsg(m); err != nil {
		return nil, grpcRefusal(err)
	}
	return m, nil
}

func (f *grpcFeed) close() { _ = f.conn.Close() }

// eventQuery returns a request as the parameters of server-sent events.
func eventQuery(req *v1.WatchRequest) url.Values {
	query := make(url.Values)
	for _, c := range req.GetChats() {
		chat := url.PathEscape(strings.ReplaceAll(c.GetChatId(), ":", "%3A"))
		chat = strings.ReplaceAll(chat, "%253A", "%3A")
		if c.AfterSeq != nil {
			chat += fmt.Sprint(":", c.GetAfterSeq())
		}
		query.Add("chat", chat)
	}
	set := func(name, value string, when bool) {
		if when {
			query.Set(name, value)
		}
	}
	set("all_chats", "true", req.GetAllChats())
	set("resume", "true", req.GetResume())
	set("durable_only", "true", req.GetDurableOnly())
	set("actor_id", req.GetActorId(), req.GetActorId() != "")
	set("log_id", req.GetLogId(), req.GetLogId() != "")
	set("max_catch_up", fmt.Sprint(req.GetMaxCatchUp()), req.GetMaxCatchUp() > 0)
	return query
}

// eventFeed is a feed of server-sent events.
type eventFeed struct {
	answer *http.Response
	lines  *bufio.Reader
	cancel context.CancelFunc

	event, data, id, retry string // of the last event; id is that of the last event with one
}

// openEvents opens a feed of server-sent events.
func openEvents(ctx context.Context, client *http.Client, url string, header http.Header) (*eventFeed, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	r.Header = header.Clone()
	answer, err := client.Do(r)
	if err != nil {
		cancel()
		return nil, err
	}
	f := &eventFeed{answer: answer, lines: bufio.NewReader(answer.Body), cancel: cancel}
	if answer.StatusCode != http.StatusOK {
		defer f.close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		return nil, jsonRefusal(answer, text)
	}
	return f, nil
}

func (f *eventFeed) next() (*v1.WatchResponse, error) {
	f.event, f.data = "", ""
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			f.event = value
		case "data":
			f.data = value
		case "id":
			f.id = value
		case "retry":
			f.retry = value
		case "":
			return f.dispatch()
		default:
			return nil, fmt.Errorf("the line %q", line)
		}
	}
}

func (f *eventFeed) dispatch() (*v1.WatchResponse, error) {
	if f.event == "error" {
		return nil, jsonRefusal(&http.Response{Header: http.Header{"Content-Type": {"application/json"}}}, []byte(f.data))
	}
	m := new(v1.WatchResponse)
	if err := protojson.Unmarshal([]byte(f.data), m); err != nil {
		return nil, err
	}
	set := m.ProtoReflect().WhichOneof(m.ProtoReflect().Descriptor().Oneofs().ByName("message"))
	if set == nil || set.JSONName() != f.event {
		return nil, fmt.Errorf("the event %q has the data %s", f.event, f.data)
	}
	return m, nil
}

func (f *eventFeed) close() {
	f.cancel()
	_ = f.answer.Body.Close()
}

// readEnvelope reads one message of a stream of Connect.
func readEnvelope(t testing.TB, body io.Reader) (flags byte, message []byte) {
	t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		t.Fatal(err)
	}
	message = make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(body, message); err != nil {
		t.Fatal(err)
	}
	return head[0], message
}

func bytesOf(b []byte) io.Reader { return bytes.NewReader(b) }
