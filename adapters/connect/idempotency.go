package connect

import (
	"context"
	"fmt"

	rpc "connectrpc.com/connect"

	"chatcore/domain"
)

// idempotencyKey is the header that may give the id of a command instead of its field.
const idempotencyKey = "Idempotency-Key"

// idOf returns the id of a command: that of the field, or of the header Idempotency-Key. It returns a [*domain.InvalidError] if there is neither, if they
// differ, if the header is given twice, and for an id that is malformed: a header that has other characters than ids is refused, not hashed.
func idOf(ctx context.Context, field, given string) (domain.CommandID, error) {
	key, err := keyOf(ctx)
	switch {
	case err != nil:
		return "", err
	case given == "" && key == "":
		return "", &domain.InvalidError{Field: field, Problem: "is empty", Allowed: "1 to 128 bytes of printable UTF-8 without spaces, here or in a header " + idempotencyKey}
	case given == "":
		return key, nil
	}
	id, err := domain.ParseCommandID(given)
	if err != nil {
		return "", inField(field, err)
	}
	if key != "" && key != id {
		return "", &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %q, and the header %s is %q", id, idempotencyKey, key), Allowed: "one of them, or the same in both"}
	}
	return id, nil
}

// keyOf returns the value of the header, or "" if there is none.
func keyOf(ctx context.Context) (domain.CommandID, error) {
	info, ok := rpc.CallInfoForHandlerContext(ctx)
	if !ok {
		return "", nil
	}
	values := info.RequestHeader().Values(idempotencyKey)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", &domain.InvalidError{Field: idempotencyKey, Problem: fmt.Sprintf("is given %d times", len(values)), Allowed: "one header"}
	}
	key, err := domain.ParseCommandID(values[0])
	return key, inField(idempotencyKey, err)
}
