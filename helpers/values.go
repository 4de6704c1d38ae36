package helpers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"chatcore/domain"
)

// encodeValue writes a value as JSON.stringify does: without a line's end, and with nothing escaped that need not be.
func encodeValue(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, &domain.InvalidError{Field: "value", Problem: fmt.Sprintf("has no JSON: %v", err), Allowed: "a value that encoding/json can encode"}
	}
	return plainSeparators(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// plainSeparators undoes the escapes of U+2028 and U+2029, which encoding/json always makes.
func plainSeparators(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\u202`)) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case rest[0] != '\\':
			out = append(out, rest[0])
			i++
		case bytes.HasPrefix(rest, []byte(`\u2028`)):
			out = append(out, "\u2028"...)
			i += 6
		case bytes.HasPrefix(rest, []byte(`\u2029`)):
			out = append(out, "\u2029"...)
			i += 6
		default: // an escape, whose second byte may be a backslash
			out = append(out, rest[:2]...)
			i += 2
		}
	}
	return out
}

func isNull(value []byte) bool { return string(bytes.TrimSpace(value)) == "null" }

// target is where a value is to go.
type target struct{ reflect.Value }

func targetOf(into any) (target, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return target{}, &domain.InvalidError{Field: "into", Problem: fmt.Sprintf("is a %T", into), Allowed: "a pointer that is not nil"}
	}
	return target{v.Elem()}, nil
}

// decode replaces the whole target by a value, or leaves it unchanged.
func (t target) decode(value []byte) bool {
	fresh := reflect.New(t.Type())
	if json.Unmarshal(value, fresh.Interface()) != nil {
		return false
	}
	t.Set(fresh.Elem())
	return true
}

// fits reports whether decode would succeed.
func (t target) fits(value []byte) bool {
	return json.Unmarshal(value, reflect.New(t.Type()).Interface()) == nil
}
