package greeter_test

import (
	"testing"

	"chatcore/domain"

	"chatcore/chatcoretest"
	"chatcore/examples/greeter"
)

func TestSubscribe_GreetsOnce(t *testing.T) {
	core := chatcoretest.New(t)
	if err := greeter.Subscribe(core.Core); err != nil {
		t.Fatal(err)
	}
	core.Start()
	if _, err := core.Chats.Create(t.Context(), domain.Create{Chat: "garden", Actor: "ada", Title: "Garden"}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Chats.Rename(t.Context(), domain.Rename{Chat: "garden", Actor: "ada", Title: "Our garden"}); err != nil {
		t.Fatal(err)
	}
	core.WaitIdle()
	messages, err := core.Queries.History(t.Context(), "garden", domain.Span{})
	if err != nil || len(messages) != 1 || messages[0].Sender != greeter.Bot || messages[0].Content != "Welcome!" {
		t.Errorf("messages %+v, error %v", messages, err)
	}
}
