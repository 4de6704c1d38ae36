package connect_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	v1 "chatcore/gen/chatcore/v1"
)

// transport calls any method over one protocol, and returns the messages of its response: one of a unary method. The error of a call that the server
// refused is a [*refusal].
type transport struct {
	name  string
	takes func(m protoreflect.MethodDescriptor) bool // nil: all methods
	call  func(ctx context.Context, base string, m protoreflect.MethodDescriptor, req proto.Message, header http.Header) ([]proto.Message, error)
}

// transports returns the protocols that the API is served in, each with a client of its own kind.
func transports(t testing.TB) []transport {
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
	return []transport{
		{name: "json over HTTP/1.1", takes: unary, call: jsonPost(h1)},
		{name: "json over GET", takes: func(m protoreflect.MethodDescriptor) bool { return unary(m) && isQuery(m) }, call: jsonGet(h1)},
		{name: "connect json over HTTP/2", call: connectCall(h2, rpc.WithProtoJSON())},
		{name: "connect proto over HTTP/1.1", takes: halfDuplex, call: connectCall(h1)},
		{name: "connect proto gzip over HTTP/2", call: connectCall(h2, rpc.WithSendGzip())},
		{name: "grpc", call: grpcCall},
		{name: "grpc-web", takes: halfDuplex, call: connectCall(h1, rpc.WithGRPCWeb())},
	}
}

func unary(m protoreflect.MethodDescriptor) bool {
	return !m.IsStreamingServer() && !m.IsStreamingClient()
}

func halfDuplex(m protoreflect.MethodDescriptor) bool { return !m.IsStreamingClient() }

func isQuery(m protoreflect.MethodDescriptor) bool {
	options, ok := m.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

func pathOf(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

func errorAs[E error](err error) (E, bool) { return errors.AsType[E](err) }

// newMessage returns an empty message of the generated type.
func newMessage(d protoreflect.MessageDescriptor) proto.Message {
	typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return typ.New().Interface()
}

// jsonPost calls a method as curl does.
func jsonPost(client *http.Client) func(context.Context, string, protoreflect.MethodDescriptor, proto.Message, http.Header) ([]proto.Message, error) {
	return func(ctx context.Context, base string, m protoreflect.MethodDescriptor, req proto.Message, header http.Header) ([]proto.Message, error) {
		body, err := protojson.Marshal(req)
		if err != nil {
			return nil, err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+pathOf(m), bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/json")
		return jsonAnswer(client, r, m)
	}
}

func jsonGet(client *http.Client) func(context.Context, string, protoreflect.MethodDescriptor, proto.Message, http.Header) ([]proto.Message, error) {
	return func(ctx context.Context, base string, m protoreflect.MethodDescriptor, req proto.Message, header http.Header) ([]proto.Message, error) {
		body, err := protojson.Marshal(req)
		if err != nil {
			return nil, err
		}
		query := url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {string(body)}}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+pathOf(m)+"?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		r.Header = header.Clone()
		return jsonAnswer(client, r, m)
	}
}

func jsonAnswer(client *http.Client, r *http.Request, m protoreflect.MethodDescriptor) ([]proto.Message, error) {
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, jsonRefusal(answer, text)
	}
	res := newMessage(m.Output())
	return []proto.Message{res}, protojson.Unmarshal(text, res)
}

// jsonRefusal returns the error that an answer in JSON is.
func jsonRefusal(answer *http.Response, text []byte) error {
	var wire struct {
		Code    rpc.Code `json:"code"`
		Message string   `json:"message"`
		Details []struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"details"`
	}
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return fmt.Errorf("status %d with Content-Type %q and the body %q", answer.StatusCode, kind, text)
	}
	if err := json.Unmarshal(text, &wire); err != nil {
		return fmt.Errorf("status %d with the body %q: %w", answer.StatusCode, text, err)
	}
	r := &refusal{code: wire.Code, message: wire.Message}
	for _, d := range wire.Details {
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err != nil {
			return err
		}
		r.detail = new(v1.ErrorDetail)
		if err := proto.Unmarshal(raw, r.detail); err != nil {
			return err
		}
	}
	return r
}

// connectCall calls a method with a client of connect-go.
func connectCall(client *http.Client, options ...rpc.ClientOption) func(context.Context, string, protoreflect.MethodDescriptor, proto.Message, http.Header) ([]proto.Message, error) {
	return func(ctx context.Context, base string, m protoreflect.MethodDescriptor, req proto.Message, header http.Header) ([]proto.Message, error) {
		raw, err := proto.Marshal(req)
		if err != nil {
			return nil, err
		}
		in := dynamicpb.NewMessage(m.Input())
		if err := proto.Unmarshal(raw, in); err != nil {
			return nil, err
		}
		all := append([]rpc.ClientOption{rpc.WithSchema(m), rpc.WithResponseInitializer(func(_ rpc.Spec, msg any) error {
			if dynamic, ok := msg.(*dynamicpb.Message); ok {
				*dynamic = *dynamicpb.NewMessage(m.Output())
			}
			return nil
		})}, options...)
		c := rpc.NewClient[dynamicpb.Message, dynamicpb.Message](client, base+pathOf(m), all...)
		request := rpc.NewRequest(in)
		for name, values := range header {
			request.Header()[name] = values
		}
		if unary(m) {
			res, err := c.CallUnary(ctx, request)
			if err != nil {
				return nil, refusalOf(err)
			}
			return generated(m, res.Msg)
		}
		ctx, cancel := context.WithCancel(ctx)
		stream, err := c.CallServerStream(ctx, request)
		if err != nil {
			cancel()
			return nil, refusalOf(err)
		}
		defer func() {
			cancel() // a feed does not end by itself
			_ = stream.Close()
		}()
		var all2 []proto.Message
		for stream.Receive() {
			one, err := generated(m, stream.Msg())
			if err != nil {
				return nil, err
			}
			all2 = append(all2, one...)
			if endsTest(one[0]) {
				return all2, nil
			}
		}
		if err := stream.Err(); err != nil {
			return all2, refusalOf(err)
		}
		return all2, nil
	}
}

// generated returns a response as a message of the generated type.
func generated(m protoreflect.MethodDescriptor, res proto.Message) ([]proto.Message, error) {
	raw, err := proto.Marshal(res)
	if err != nil {
		return nil, err
	}
	out := newMessage(m.Output())
	return []proto.Message{out}, proto.Unmarshal(raw, out)
}

// grpcCall calls a method with a client of grpc-go.
func grpcCall(ctx context.Context, base string, m protoreflect.MethodDescriptor, req proto.Message, header http.Header) ([]proto.Message, error) {
	return grpcInvoke(ctx, base, pathOf(m), m, req, header)
}

// grpcInvoke calls a method under a path.
func grpcInvoke(ctx context.Context, base, path string, m protoreflect.MethodDescriptor, req proto.Message, header http.Header) ([]proto.Message, error) {
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(base, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	for name, values := range header {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), v)
		}
	}
	if unary(m) {
		res := newMessage(m.Output())
		return []proto.Message{res}, grpcRefusal(conn.Invoke(ctx, path, req, res))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return nil, grpcRefusal(err)
	}
	if err := errors.Join(stream.SendMsg(req), stream.CloseSend()); err != nil {
		return nil, err
	}
	var all []proto.Message
	for {
		res := newMessage(m.Output())
		if err := stream.RecvMsg(res); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, grpcRefusal(err)
		}
		all = append(all, res)
		if endsTest(res) {
			return all, nil
		}
	}
}

// endsTest reports whether a message is one after which a feed has nothing more to give at once: feeds do not end by themselves.
func endsTest(m proto.Message) bool {
	w, feed := m.(*v1.WatchResponse)
	return feed && (w.GetCaughtUp() != nil || w.GetChatLeft() != nil)
}

func grpcRefusal(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok || s.Code() == codes.OK {
		return err
	}
	r := &refusal{code: rpc.Code(s.Code()), message: s.Message()}
	for _, d := range s.Details() {
		if detail, ok := d.(*v1.ErrorDetail); ok {
			r.detail = detail
		}
	}
	return r
}
