package connect_test

import (
	"maps"
	"net/http"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore/adapters/connect"
)

// prepared is a call that has not been made.
type prepared struct {
	request proto.Message
	check   func(t *testing.T, responses []proto.Message)
}

// row prepares one call of a method: by a service with all scopes, unless as names a user.
type row struct {
	as      string
	prepare func(t *testing.T, w *world) prepared
}

// methodRows returns the row of each method, by full name. Each service has a function of its own.
func methodRows() map[string]row {
	rows := make(map[string]row)
	for _, of := range []map[string]row{
		chatRows(), messageRows(), threadRows(), settingsRows(), logRows(), presenceRows(), sessionRows(), limitRows(), feedRows(), adminRows(), consumerRows(),
	} {
		maps.Copy(rows, of)
	}
	return rows
}

// expect returns a prepared call of a unary method, whose response check verifies.
func expect[Res proto.Message](request proto.Message, check func(t *testing.T, res Res)) prepared {
	return prepared{request, func(t *testing.T, responses []proto.Message) {
		t.Helper()
		if len(responses) != 1 {
			t.Fatalf("%d responses", len(responses))
		}
		res, ok := responses[0].(Res)
		if !ok {
			t.Fatalf("the response is a %T", responses[0])
		}
		check(t, res)
	}}
}

// methods returns the methods that the handler serves.
func methods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	for _, service := range connect.ServiceDescriptors() {
		for i := range service.Methods().Len() {
			all = append(all, service.Methods().Get(i))
		}
	}
	return all
}

// TestMethods calls every method over every protocol, on Redis and in memory. A method without a row fails.
func TestMethods(t *testing.T) {
	rows := methodRows()
	onEachBackend(t, func(t *testing.T, w *world) {
		for _, via := range transports(t) {
			t.Run(via.name, func(t *testing.T) {
				for _, m := range methods() {
					if via.takes != nil && !via.takes(m) {
						continue
					}
					t.Run(string(m.FullName()), func(t *testing.T) {
						r, ok := rows[string(m.FullName())]
						if !ok {
							t.Fatal("the method has no row in methodRows")
						}
						call := r.prepare(t, w)
						responses, err := via.call(t.Context(), w.url, m, call.request, w.header(t, r.as))
						if err != nil {
							t.Fatal(err)
						}
						call.check(t, responses)
					})
				}
			})
		}
	})
	for name := range rows {
		if !served(name) {
			t.Errorf("methodRows has a row for %s, which is not served", name)
		}
	}
}

func served(name string) bool {
	for _, m := range methods() {
		if string(m.FullName()) == name {
			return true
		}
	}
	return false
}

// method returns a method by its full name.
func methodNamed(t testing.TB, name string) protoreflect.MethodDescriptor {
	t.Helper()
	for _, m := range methods() {
		if string(m.FullName()) == name {
			return m
		}
	}
	t.Fatalf("there is no method %s", name)
	return nil
}

// header returns the header of calls by a user, or by a service if user is "".
func (w *world) header(t testing.TB, user string) http.Header {
	t.Helper()
	header := make(http.Header)
	if user != "" {
		header.Set("Authorization", "Bearer "+w.token(t, userID(user)))
	}
	return header
}
