package connect_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// hasField reports whether a path, such as attachments[1].url, names a field of a message, or something of the request that is no field.
func hasField(d protoreflect.MessageDescriptor, path string) bool {
	if path == "body" || path == "Idempotency-Key" {
		return true
	}
	for i, part := range strings.Split(path, ".") {
		if d == nil {
			return false
		}
		part = regexp.MustCompile(`\[\d+\]$`).ReplaceAllString(part, "")
		if d.Oneofs().ByName(protoreflect.Name(part)) != nil {
			return i == strings.Count(path, ".")
		}
		field := d.Fields().ByName(protoreflect.Name(part))
		if field == nil {
			return false
		}
		if field.IsMap() { // a key may follow
			return true
		}
		d = field.Message()
	}
	return true
}

// checkRefusal returns what is wrong with the error of a call: only classified errors are right, and an invalid field is one of the request.
func checkRefusal(m protoreflect.MethodDescriptor, err error) error {
	r, ok := errors.AsType[*refusal](err)
	switch {
	case !ok:
		return fmt.Errorf("%w is no error of the API", err)
	case r.code == rpc.CodeInternal || r.code == rpc.CodeUnknown || r.code == rpc.CodeDataLoss:
		return fmt.Errorf("%w is an internal error", err)
	case r.detail == nil:
		return fmt.Errorf("%w has no detail", err)
	case r.code == rpc.CodeInvalidArgument && r.detail.GetReason() == "invalid" && r.detail.GetProblem() != "is unknown" && (!hasField(m.Input(), r.detail.GetField()) || r.detail.GetProblem() == "" || r.detail.GetAllowed() == ""):
		return fmt.Errorf("%w names the field %q, the problem %q and the allowed %q", err, r.detail.GetField(), r.detail.GetProblem(), r.detail.GetAllowed())
	case r.detail.GetReason() == "invalid" && !strings.Contains(r.message, r.detail.GetField()):
		return fmt.Errorf("%w does not name the field %q in its text", err, r.detail.GetField())
	}
	return nil
}

// spoil calls try with each field of a message changed to a value that may be invalid, one field at a time, also in messages that it contains.
func spoil(root proto.Message, in protoreflect.Message, path string, try func(path string)) {
	fields := in.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		place := strings.TrimPrefix(path+"."+string(f.Name()), ".")
		if strings.Count(place, ".") > 3 {
			continue
		}
		had, before := in.Has(f), copied(in, f)
		for _, v := range badValues(f) {
			in.Set(f, v)
			try(place)
		}
		switch {
		case f.IsMap():
			for _, v := range badValues(f.MapValue()) {
				for _, key := range []string{"post", "", "a b", "\u200b"} {
					entries := in.NewField(f)
					entries.Map().Set(protoreflect.ValueOfString(key).MapKey(), v)
					in.Set(f, entries)
					try(place + "." + key)
				}
			}
		case f.Message() != nil && f.IsList():
			list := in.NewField(f)
			spoil(root, list.List().AppendMutable().Message(), place, func(p string) { in.Set(f, list); try(p) })
		case f.Message() != nil:
			value := in.NewField(f)
			spoil(root, value.Message(), place, func(p string) { in.Set(f, value); try(p) })
		}
		in.Clear(f)
		try(place)
		if had {
			in.Set(f, before)
		}
	}
}

// copied returns the value of a field. A map is copied, because clearing the field clears it.
func copied(in protoreflect.Message, f protoreflect.FieldDescriptor) protoreflect.Value {
	if !f.IsMap() {
		return in.Get(f)
	}
	entries := in.NewField(f)
	in.Get(f).Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
		entries.Map().Set(key, v)
		return true
	})
	return entries
}

// badValues returns values of a field that a caller may give by mistake, or on purpose.
func badValues(f protoreflect.FieldDescriptor) []protoreflect.Value {
	if f.Message() != nil {
		return nil
	}
	var values []protoreflect.Value
	switch f.Kind() {
	case protoreflect.StringKind:
		for _, s := range []string{" ", "a b", "\u200b", strings.Repeat("x", 20_000), "{", "[]", `{"a":1}`} {
			values = append(values, protoreflect.ValueOfString(s))
		}
	case protoreflect.Uint32Kind:
		values = []protoreflect.Value{protoreflect.ValueOfUint32(0), protoreflect.ValueOfUint32(257), protoreflect.ValueOfUint32(1<<32 - 1)}
	case protoreflect.Int64Kind:
		switch f.ContainingMessage().FullName() { // JSON has no others
		case "google.protobuf.Timestamp":
			return []protoreflect.Value{protoreflect.ValueOfInt64(-62135596800), protoreflect.ValueOfInt64(253402300799)}
		case "google.protobuf.Duration":
			return []protoreflect.Value{protoreflect.ValueOfInt64(-1), protoreflect.ValueOfInt64(315576000000)}
		}
		values = []protoreflect.Value{protoreflect.ValueOfInt64(-1), protoreflect.ValueOfInt64(1<<63 - 1)}
	case protoreflect.EnumKind:
		values = []protoreflect.Value{protoreflect.ValueOfEnum(0), protoreflect.ValueOfEnum(77)}
	case protoreflect.BoolKind:
		values = []protoreflect.Value{protoreflect.ValueOfBool(true)}
	default:
	}
	if !f.IsList() {
		return values
	}
	return nil // lists of scalars are spoiled by listValues
}

// TestInvalidFields_AreNamedAsInTheProtos changes each field of each request to invalid values: an error names a field of the request, and is never internal.
func TestInvalidFields_AreNamedAsInTheProtos(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	call := transports(t)[2].call
	invalid := 0
	for _, m := range methods() {
		t.Run(string(m.FullName()), func(t *testing.T) {
			r := methodRows()[string(m.FullName())]
			req := r.prepare(t, w).request
			header := w.header(t, r.as)
			try := func(path string) {
				if _, err := call(t.Context(), w.url, m, req, header); err != nil {
					if wrong := checkRefusal(m, err); wrong != nil {
						t.Errorf("with another %s: %v", path, wrong)
					}
					if r, _ := errors.AsType[*refusal](err); r != nil && r.detail.GetReason() == "invalid" {
						invalid++
					}
				}
			}
			spoil(req, req.ProtoReflect(), "", try)
			for i := range m.Input().Fields().Len() { // lists of ids
				f := m.Input().Fields().Get(i)
				if f.IsList() && f.Kind() == protoreflect.StringKind {
					list := req.ProtoReflect().NewField(f)
					list.List().Append(protoreflect.ValueOfString("a b"))
					req.ProtoReflect().Set(f, list)
					try(string(f.Name()))
				}
			}
		})
	}
	if invalid < 4*len(methods()) {
		t.Errorf("only %d calls were invalid: the test has lost its teeth", invalid)
	}
}
