package connect

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// kindOf returns what a JSON token is, for an error.
func kindOf(token json.Token) string {
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "an array"
	case string:
		return quoted(t)
	case nil:
		return "null"
	}
	return fmt.Sprintf("%.80v", token)
}

// maxQuoted is the longest text of a request that an error quotes, in bytes: tokens are longer, and may be in any place by mistake.
const maxQuoted = 40

// quoted returns a text of a request, for an error.
func quoted(text string) string {
	if len(text) > maxQuoted {
		return fmt.Sprintf("a text of %d bytes", len(text))
	}
	return strconv.Quote(text)
}

// valueProblem returns why a token of the right kind is no value of a field, or "". An enum by a number that it does not have is left to the handler.
func valueProblem(token json.Token, field protoreflect.FieldDescriptor) string {
	text := fmt.Sprint(token)
	switch field.Kind() {
	case protoreflect.EnumKind:
		if name, ok := token.(string); ok && field.Enum().Values().ByName(protoreflect.Name(name)) == nil {
			return "is " + quoted(name)
		}
	case protoreflect.Uint32Kind, protoreflect.Int64Kind:
		if len(text) > maxNumber {
			return "is " + quoted(text)
		}
		n, ok := new(big.Rat).SetString(text)
		low, high := boundsOf(field)
		if !ok || !n.IsInt() || n.Num().Cmp(low) < 0 || n.Num().Cmp(high) > 0 {
			return "is " + text
		}
	default: // any token of the right kind is a value
	}
	return ""
}

// maxNumber is the longest text of a number that is parsed: 1e400 has few bytes as well, and no value.
const maxNumber = 24

func boundsOf(field protoreflect.FieldDescriptor) (low, high *big.Int) {
	if field.Kind() == protoreflect.Uint32Kind {
		return big.NewInt(0), big.NewInt(1<<32 - 1)
	}
	return big.NewInt(-1 << 63), big.NewInt(1<<63 - 1)
}

// allowedOf returns which JSON values a field takes.
func allowedOf(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		return strings.Join(enumNames(field.Enum()), ", ")
	case protoreflect.Uint32Kind:
		return "a whole number from 0 to 4294967295"
	case protoreflect.Int64Kind:
		return "a whole number of 64 bits, as a number or a string"
	case protoreflect.BytesKind:
		return "a string in base64"
	default:
		return "a string"
	}
}

// enumNames returns the names of an enum's values, without that of the zero value.
func enumNames(enum protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range enum.Values().Len() {
		if v := enum.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return names
}

// knownFields returns the names of a message's fields, if they are few.
func knownFields(message protoreflect.MessageDescriptor) string {
	fields := message.Fields()
	if fields.Len() == 0 {
		return "an empty object"
	}
	if fields.Len() > maxKnownFields {
		return "the fields of " + string(message.FullName())
	}
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = string(fields.Get(i).Name())
	}
	return strings.Join(names, ", ")
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// cleanProtoError returns the text of an error of protobuf without its prefix, which varies on purpose.
func cleanProtoError(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = regexp.MustCompile(`^proto: *`).ReplaceAllString(text, "")
	return fmt.Sprintf("%.200s", text)
}
