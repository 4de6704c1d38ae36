package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// The names of the codecs, which content types end with.
const (
	codecProto    = "proto"
	codecJSON     = "json"
	codecJSONUTF8 = "json; charset=utf-8"
)

// maxNesting is how deep a message may be nested. No request of the API reaches a quarter of it.
const maxNesting = 32

// A codec that cannot decode a message has no way to return an error with a detail: the protocol wraps it. So the codecs here return no error, and leave
// it in the message, as an unknown field with the highest number, from which [decodeErrorOf] takes it before the handler runs. Both codecs discard the
// unknown fields that a client sends, so that no client can forge one.

// decodeErrorField is the number of that field.
const decodeErrorField = protowire.MaxValidNumber

// failDecode leaves an error in a message, which is otherwise empty then.
func failDecode(m proto.Message, e *domain.InvalidError) error {
	valid := func(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
	detail, err := proto.Marshal(&v1.ErrorDetail{Field: valid(e.Field), Problem: valid(e.Problem), Allowed: valid(e.Allowed)})
	if err != nil {
		return err
	}
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, decodeErrorField, protowire.BytesType), detail))
	return nil
}

// decodeErrorOf returns the error that failDecode left in a message, or nil.
func decodeErrorOf(msg any) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return nil
	}
	unknown := m.ProtoReflect().GetUnknown()
	if len(unknown) == 0 {
		return nil
	}
	number, _, n := protowire.ConsumeTag(unknown)
	if n < 0 || number != decodeErrorField {
		return nil
	}
	raw, n := protowire.ConsumeBytes(unknown[n:])
	var detail v1.ErrorDetail
	if n < 0 || proto.Unmarshal(raw, &detail) != nil {
		return errors.New("the error of a request that cannot be decoded is damaged")
	}
	return &domain.InvalidError{Field: detail.GetField(), Problem: detail.GetProblem(), Allowed: detail.GetAllowed()}
}

func messageOf(v any) (proto.Message, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", v)
	}
	return m, nil
}

// protoCodec encodes messages as protobuf. Unknown fields of a request are ignored, as protobuf does.
type protoCodec struct{}

// Name implements [rpc.Codec].
func (protoCodec) Name() string { return codecProto }

// Marshal implements [rpc.Codec].
func (c protoCodec) Marshal(v any) ([]byte, error) { return c.MarshalAppend(nil, v) }

// MarshalAppend appends a message to b.
func (protoCodec) MarshalAppend(b []byte, v any) ([]byte, error) {
	if frame, ok := v.(*feedFrame); ok {
		text, err := frame.encoded(codecProto)
		return append(b, text...), err
	}
	m, err := messageOf(v)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

// MarshalStable is Marshal with one encoding for equal messages, for GET.
func (protoCodec) MarshalStable(v any) ([]byte, error) {
	m, err := messageOf(v)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// IsBinary reports that the encoding is no text.
func (protoCodec) IsBinary() bool { return true }

// Unmarshal implements [rpc.Codec].
func (protoCodec) Unmarshal(data []byte, v any) error {
	m, err := messageOf(v)
	if err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxNesting}).Unmarshal(data, m); err != nil {
		return failDecode(m, &domain.InvalidError{
			Field: "body", Problem: "is no " + string(m.ProtoReflect().Descriptor().FullName()) + ": " + cleanProtoError(err), Allowed: "the protobuf encoding of that message",
		})
	}
	return nil
}

// jsonCodec encodes messages as JSON, as protobuf defines it, and refuses fields that a message does not have. Answers have no white space.
type jsonCodec struct{ name string }

// Name implements [rpc.Codec].
func (c jsonCodec) Name() string { return c.name }

// Marshal implements [rpc.Codec].
func (c jsonCodec) Marshal(v any) ([]byte, error) { return c.MarshalAppend(nil, v) }

// MarshalAppend appends a message to b. Its spacing is always the same, unlike that of protojson.
func (jsonCodec) MarshalAppend(b []byte, v any) ([]byte, error) {
	if frame, ok := v.(*feedFrame); ok {
		text, err := frame.encoded(codecJSON)
		return append(b, text...), err
	}
	m, err := messageOf(v)
	if err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	compact := bytes.NewBuffer(b)
	err = json.Compact(compact, text)
	return compact.Bytes(), err
}

// MarshalStable is Marshal: fields are in the order of their numbers.
func (c jsonCodec) MarshalStable(v any) ([]byte, error) { return c.MarshalAppend(nil, v) }

// IsBinary reports that the encoding is text.
func (jsonCodec) IsBinary() bool { return false }

// Unmarshal implements [rpc.Codec].
func (jsonCodec) Unmarshal(data []byte, v any) error {
	m, err := messageOf(v)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return failDecode(m, &domain.InvalidError{Field: "body", Problem: "is empty", Allowed: "one JSON object, such as {}"})
	}
	if err := (protojson.UnmarshalOptions{RecursionLimit: maxNesting}).Unmarshal(data, m); err != nil {
		return failDecode(m, jsonProblem(data, m.ProtoReflect().Descriptor(), err))
	}
	return nil
}
