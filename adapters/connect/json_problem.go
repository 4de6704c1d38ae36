package connect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore/domain"
)

// maxKnownFields is up to how many fields the error about an unknown one lists those that there are.
const maxKnownFields = 16

// jsonProblem returns why a JSON text is no message: the path of the field where it goes wrong, and the allowed values. cause is the error of protojson.
func jsonProblem(data []byte, message protoreflect.MessageDescriptor, cause error) *domain.InvalidError {
	w := jsonWalk{decoder: json.NewDecoder(bytes.NewReader(data))}
	w.decoder.UseNumber()
	if !json.Valid(data) {
		return &domain.InvalidError{Field: "body", Problem: "is no JSON: " + cleanProtoError(cause), Allowed: "one JSON object"}
	}
	if err := w.message("", message, 0); err != nil && w.problem == nil {
		w.problem = &domain.InvalidError{Field: "body", Problem: "is no JSON: " + err.Error(), Allowed: "one JSON object"}
	}
	if w.problem == nil { // the walk knows less than protojson
		w.problem = &domain.InvalidError{Field: "body", Problem: cleanProtoError(cause), Allowed: "the JSON encoding of " + string(message.FullName())}
	}
	return w.problem
}

// jsonWalk walks through a JSON text beside the descriptor of its message, up to the first problem.
type jsonWalk struct {
	decoder *json.Decoder
	problem *domain.InvalidError
}

// stop ends the walk with a problem.
func (w *jsonWalk) stop(field, problem, allowed string) error {
	if field == "" {
		field = "body"
	}
	w.problem = &domain.InvalidError{Field: field, Problem: problem, Allowed: allowed}
	return io.EOF
}

// message walks through one message.
func (w *jsonWalk) message(path string, message protoreflect.MessageDescriptor, depth int) error {
	if depth > maxNesting {
		return w.stop(path, "is nested too deep", fmt.Sprintf("at most %d levels", maxNesting))
	}
	token, err := w.decoder.Token()
	if err != nil {
		return err
	}
	if token == nil && path != "" {
		return nil
	}
	if strings.HasPrefix(string(message.FullName()), "google.protobuf.") { // their JSON has a form of its own
		if delim, ok := token.(json.Delim); ok {
			return w.stop(path, "is "+kindOf(delim), "the JSON form of "+string(message.FullName()))
		}
		return nil
	}
	if token != json.Delim('{') {
		return w.stop(path, "is "+kindOf(token), "a JSON object")
	}
	given := make(map[protoreflect.Name]bool)
	for w.decoder.More() {
		key, err := w.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		field := message.Fields().ByJSONName(name)
		if field == nil {
			field = message.Fields().ByTextName(name)
		}
		if field == nil {
			if len(name) > maxQuoted {
				return w.stop(path, fmt.Sprintf("has an unknown field whose name has %d bytes", len(name)), knownFields(message))
			}
			return w.stop(join(path, name), "is unknown", knownFields(message))
		}
		place := join(path, string(field.Name()))
		if given[field.Name()] {
			return w.stop(place, "is given twice", "each field once")
		}
		given[field.Name()] = true
		if one := field.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if given[one.Name()] {
				return w.stop(place, "is given beside another field of "+string(one.Name()), "one of them")
			}
			given[one.Name()] = true
		}
		if err := w.value(place, field, depth); err != nil {
			return err
		}
	}
	_, err = w.decoder.Token()
	return err
}

// value walks through the value of a field.
func (w *jsonWalk) value(path string, field protoreflect.FieldDescriptor, depth int) error {
	if field.IsMap() {
		return w.entries(path, field, depth)
	}
	if !field.IsList() {
		return w.single(path, field, depth)
	}
	token, err := w.decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return w.stop(path, "is "+kindOf(token), "a JSON array")
	}
	for i := 0; w.decoder.More(); i++ {
		if err := w.single(fmt.Sprintf("%s[%d]", path, i), field, depth); err != nil {
			return err
		}
	}
	_, err = w.decoder.Token()
	return err
}

// entries walks through the entries of a map, whose keys are texts.
func (w *jsonWalk) entries(path string, field protoreflect.FieldDescriptor, depth int) error {
	token, err := w.decoder.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('{') {
		return w.stop(path, "is "+kindOf(token), "a JSON object")
	}
	given := make(map[string]bool)
	for w.decoder.More() {
		token, err := w.decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		place := join(path, key)
		if given[key] {
			return w.stop(place, "is given twice", "each key once")
		}
		given[key] = true
		if err := w.single(place, field.MapValue(), depth); err != nil {
			return err
		}
	}
	_, err = w.decoder.Token()
	return err
}

// single walks through one value, and checks its kind.
func (w *jsonWalk) single(path string, field protoreflect.FieldDescriptor, depth int) error {
	if field.Message() != nil {
		return w.message(path, field.Message(), depth+1)
	}
	token, err := w.decoder.Token()
	if err != nil {
		return err
	}
	if token == nil {
		if field.IsList() {
			return w.stop(path, "is null", allowedOf(field))
		}
		return nil
	}
	fits := false
	switch token.(type) {
	case string:
		fits = field.Kind() != protoreflect.BoolKind
	case bool:
		fits = field.Kind() == protoreflect.BoolKind
	case json.Number:
		fits = field.Kind() != protoreflect.BoolKind && field.Kind() != protoreflect.StringKind && field.Kind() != protoreflect.BytesKind
	}
	if !fits {
		return w.stop(path, "is "+kindOf(token), allowedOf(field))
	}
	if problem := valueProblem(token, field); problem != "" {
		return w.stop(path, problem, allowedOf(field))
	}
	return nil
}
