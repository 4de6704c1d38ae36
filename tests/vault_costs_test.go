package tests

import (
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestCosts_OfSendsBesideAnArchiver counts the commands of sends while they are archived. The archiver adds those of its flushes, and none for each event.
func TestCosts_OfSendsBesideAnArchiver(t *testing.T) {
	server, core := costing(t, func(config *chatcore.Config) {
		config.Log.Partitions, config.Vault = 1, chatcore.VaultConfig{Store: memory.NewVault(), Flush: 100 * time.Millisecond}
	})
	stop := started(t, core)
	defer stop()
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	send := func() {
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "The tomatoes are ripe."}))
	}
	send()
	if err := core.Vault().Backup(t.Context(), nil); err != nil { // the first full tail
		t.Fatal(err)
	}
	const sends = 1000
	client := server.Client(t)
	began, before := time.Now(), redistest.AllCommands(t, client)
	for range sends {
		send()
	}
	calls := redistest.AllCommands(t, client).Since(before)
	flushes := int(time.Since(began)/(100*time.Millisecond)) + 1
	delete(calls, "info") // of each append, and of this test
	most := make(redistest.Commands)
	for name := range calls {
		most[name] = sends*sendCommands()[name] + 40*flushes
	}
	for _, difference := range calls.Beyond(most) {
		t.Errorf("%d sends in %d flushes: %s", sends, flushes, difference)
	}
	if calls["xread"] > 0 {
		t.Errorf("the archiver waits for entries: %d reads", calls["xread"])
	}
}
