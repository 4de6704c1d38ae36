package connect

import (
	"errors"
	"strings"
	"unicode"

	"chatcore/domain"
)

// protoField returns an error with the name of the field in the protos. The core names fields as its JSON does, such as clientMeta.
func protoField(e *domain.InvalidError) *domain.InvalidError {
	named := *e
	switch e.Field {
	case "limit":
		named.Field = "page_size"
	case "cursor":
		named.Field, named.Problem, named.Allowed = "page_token", "is no token of this list", allowedPageToken
	case "entity":
		named.Field = "entity_id"
	default:
		named.Field = snakeCase(e.Field)
	}
	return &named
}

// snakeCase returns a name of camelCase with underscores. Headers, and names with spaces, stay as they are.
func snakeCase(name string) string {
	if strings.ContainsAny(name, "- ") {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 && name[i-1] != '.' {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// inMessage returns an error about a field of a message that the request contains, under the path of the field in the request. Other errors stay as they are.
func inMessage(path string, err error) error {
	invalid, ok := errors.AsType[*domain.InvalidError](err)
	if !ok {
		return err
	}
	return &domain.InvalidError{Field: path + "." + invalid.Field, Problem: invalid.Problem, Allowed: invalid.Allowed}
}

// inField returns an error about a field of the request: an invalid value of it, under the name that the protos give it. Other errors stay as they are.
func inField(field string, err error) error {
	invalid, ok := errors.AsType[*domain.InvalidError](err)
	if !ok {
		return err
	}
	return &domain.InvalidError{Field: field, Problem: invalid.Problem, Allowed: invalid.Allowed}
}
