//go:build interop

package interop

import (
	"encoding/base64"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatcore/tests/postgrestest"
)

// TestEffects runs examples/effects on two instances and PostgreSQL. The consumer, the receiver and instances are killed, and requests of the webhook fail: each
// event has its effects once, and those of a chat are in the order of the log. The receiving side verifies each request with standardwebhooks too.
func TestEffects(t *testing.T) {
	example, err := filepath.Abs("../../examples/effects")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(example, "dist", "consumer.js")); err != nil {
		t.Fatalf("%v; `make interop` builds the example", err)
	}
	database := postgrestest.Start(t, "-F").URL()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	t.Setenv("CHATCORE_WEBHOOKS_KEYS", key)
	service := startService(t, "--webhooks-allow", "127.0.0.1", "--webhooks-allow-http")
	front := httptest.NewServer(service.front(t, service.faults(t)))
	t.Cleanup(front.Close)
	core := balance(t, service.instances["a"], service.instances["b"])
	env := append(os.Environ(), "CORE="+core, "TOKEN="+service.token, "FAULTS="+front.URL, "DATABASE_URL="+database)
	p := &project{t: t}
	reported(t, strings.TrimSpace(p.with(env, example, "node", "test/faults.mjs")))
}
