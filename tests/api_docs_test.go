package tests

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	_ "chatcore/gen/chatcore/admin/v1"
	_ "chatcore/gen/chatcore/v1"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// apiServer serves a core on a private Redis that has what docs/api.md says, and returns the address of its API. Programs on this machine are a service
// with all scopes.
func apiServer(t *testing.T) (address string) {
	t.Helper()
	server := redistest.Start(t)
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: server.URL()},
		Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{app.LimitLogin: {Rate: 5, Per: 15 * time.Minute}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(core.SubscribeBuiltins(), core.Subscribe("reports"), core.Subscribe("push", chatcore.On(
		func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			if d.Event.Content == "poison" {
				return chatcore.Permanent(errors.New("no device accepts it"))
			}
			return nil
		})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := core.Wait(); err != nil {
			t.Errorf("the core ended with %v", err)
		}
	})
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	poison(t, core, 2)
	handler, err := connect.New(core, connect.Config{EventTypes: map[domain.CustomType]int{"poll:voted": 1}, OpenReflection: true})
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Sessions: core.Sessions, Local: true, OnError: connect.AuthError(nil)})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(authenticator.Middleware(handler))
	t.Cleanup(listener.Close)
	return listener.URL
}

// poison sends messages that the group push refuses, until they are dead letters.
func poison(t *testing.T, core *chatcore.Core, count int) {
	t.Helper()
	_, err := core.Chats.Create(t.Context(), domain.Create{Chat: "cellar", Actor: "ada"})
	for i := range count {
		_, sent := core.Chats.Send(t.Context(), domain.Send{Chat: "cellar", Actor: "ada", MessageID: domain.MessageID(rune('a' + i)), Content: "poison"})
		err = errors.Join(err, sent)
	}
	if err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the dead letters are there", func() bool {
		found := 0
		for _, err := range core.Groups().DeadLetters(t.Context(), "push") {
			if err != nil {
				t.Fatal(err)
			}
			found++
		}
		return found == count
	})
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile("../" + page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// apiMethods returns the paths of all methods of the API.
func apiMethods() (paths []string) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if strings.HasPrefix(string(service.FullName()), "chatcore.") {
					paths = append(paths, string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
				}
			}
		}
		return true
	})
	slices.Sort(paths)
	return paths
}

// TestAPIDocs runs every curl line of docs/api.md in order, and compares the responses with those of the page. Each method has a line.
func TestAPIDocs(t *testing.T) {
	calls, err := curlCalls("docs/api.md", pageText(t, "docs/api.md"))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"CORE": apiServer(t)}
	shown := make(map[string]bool)
	for _, c := range calls {
		c.run(t, variables, false)
		if m := regexp.MustCompile(`\$CORE/([\w.]+/\w+)`).FindStringSubmatch(c.command); m != nil {
			shown[m[1]] = true
		}
	}
	methods := apiMethods()
	if len(methods) < 40 {
		t.Errorf("only %d methods were found", len(methods))
	}
	for _, path := range methods {
		if !shown[path] {
			t.Errorf("docs/api.md has no curl line of %s", path)
		}
	}
}

// TestREADMECommands runs the curl lines of README.md in order: their responses are exactly those of the page, but for the time.
func TestREADMECommands(t *testing.T) {
	calls, err := curlCalls("README.md", strings.ReplaceAll(pageText(t, "README.md"), "http://127.0.0.1:7460", "$CORE"))
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 3 {
		t.Errorf("only %d curl lines were found", len(calls))
	}
	variables := map[string]string{"CORE": apiServer(t)}
	for _, c := range calls {
		if c.response == "" {
			t.Errorf("README.md:%d: the page does not show the response", c.line)
		}
		c.run(t, variables, true)
	}
}
