package connect

import (
	"errors"
	"testing"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// TestCursors_Damaged has a token of the right list with a cursor that no page returned be refused, in lists whose cursors the adapter makes.
func TestCursors_Damaged(t *testing.T) {
	tokens := tokensOf("a list")
	refused := func(name string, in *input) {
		t.Helper()
		if invalid, ok := errors.AsType[*domain.InvalidError](in.err); !ok || invalid.Field != "page_token" || invalid.Allowed == "" {
			t.Errorf("%s: %v", name, in.err)
		}
	}
	for _, cursor := range []string{"<0", ">0", "<", ">", "<-1", ">x", ">18446744073709551616", "x", "0"} {
		in := &input{}
		in.eventSpan(&v1.ListEventsRequest{PageToken: tokens.token(cursor)}, tokens)
		refused("events "+cursor, in)
	}
	for _, cursor := range []string{"a0", "b0", "a", "c1", "1", "a-1", "b4294967296", "\xff"} {
		in := &input{}
		in.span(&v1.ListMessagesRequest{PageToken: tokens.token(cursor)}, tokens)
		refused("messages "+cursor, in)
	}
}
