package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chatcore"
	"chatcore/adapters/vault"
	"chatcore/adapters/vault/object"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// manifests returns the manifests of the only log of a vault.
func manifests(t *testing.T, dir string) (all []*object.ManifestObject) {
	t.Helper()
	v, err := vault.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil || name.Kind != object.KindManifest {
			continue
		}
		data, err := v.Get(t.Context(), o.Name, 0, ports.WholeObject)
		if err != nil {
			t.Fatal(err)
		}
		m, err := object.DecodeManifest(name, data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestBackup_AndVaultStatus backs up a log that nothing else archives.
func TestBackup_AndVaultStatus(t *testing.T) {
	s := newShell(t)
	dir := t.TempDir()
	s.do("chat", "create", "c", "--as", "ada")
	s.do("send", "c", "hello", "--as", "ada")
	if code, _, errs := s.exit("vault", "status", "--vault", dir); code != exitNotFound || !strings.Contains(errs, "core serve") {
		t.Errorf("the status of a log that is not archived exits with %d: %s", code, errs)
	}
	if code, _, errs := s.exit("backup"); code != exitUsage || !strings.Contains(errs, "CHATCORE_VAULT") {
		t.Errorf("a backup without a vault exits with %d: %s", code, errs)
	}
	done := s.json("backup", "--vault", dir, "--vault-flush", "100ms")[0]
	if done["objects"].(float64) < 3 || done["final"] != false {
		t.Errorf("the backup is %v", done)
	}
	for _, p := range s.json("vault", "status", "--vault", dir) {
		if p["lag"] != 0.0 || p["fullTail"] == nil || p["owner"] != nil {
			t.Errorf("after the backup a partition is %v", p)
		}
	}
	if out := s.do("vault", "status", "--vault", dir); !strings.Contains(out, "FULL TAIL") || strings.Contains(out, "none") {
		t.Errorf("the table is\n%s", out)
	}
	if lost := s.do("vault", "lost", "--vault", dir); strings.TrimSpace(lost) != "" {
		t.Errorf("lost is %s", lost)
	}
	if m := manifests(t, dir); len(m) != 1 || m[0].Closed != 0 {
		t.Errorf("the manifests are %v", m)
	}
	if final := s.json("backup", "--final", "--vault", dir, "--vault-flush", "100ms")[0]; final["final"] != true {
		t.Errorf("the final backup is %v", final)
	}
	if m := manifests(t, dir); len(m) != 2 || m[1].Closed == 0 {
		t.Errorf("the manifests are %v", m)
	}
	if out, _, _ := s.try("doctor", "--vault", dir); !strings.Contains(out, "log ") || strings.Contains(out, "the vault") {
		t.Errorf("the doctor finds something of a good vault:\n%s", out)
	}
}

// TestServe_EmbeddedClosesItsVault checks that a clean stop leaves a vault that has all of the log.
func TestServe_EmbeddedClosesItsVault(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	s := &shell{t: t, base: []string{"--partitions", "2"}}
	dir := t.TempDir()
	_, errs, end := s.start(nil, "serve", "--embedded", "--vault", dir, "--listen", "127.0.0.1:0", "--log-level", "info")
	wait.Until(t, "the log is archived", func() bool { return len(manifests(t, dir)) == 1 })
	wait.Until(t, "it serves", func() bool { return strings.Contains(errs.String(), "serving log") })
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if m := manifests(t, dir); len(m) != 2 || m[1].Closed == 0 || strings.Contains(errs.String(), "does not have all") {
		t.Errorf("the manifests are %v:\n%s", m, errs)
	}
}

// checked is a vault whose check finds everything.
type checked struct {
	ports.Vault
	err error
}

// Check implements [ports.VaultChecker].
func (c checked) Check(context.Context) ([]ports.VaultFinding, error) {
	var all []ports.VaultFinding
	for _, code := range []ports.VaultFindingCode{
		ports.VaultOverwrites, ports.VaultUnconditional, ports.VaultFoldsNames, ports.VaultVersioned, ports.VaultLocked, ports.VaultUnknown,
	} {
		all = append(all, ports.VaultFinding{Code: code, Detail: "seen"})
	}
	return all, c.err
}

// TestDoctor_FindingsOfVaults checks how bad each property of a store is.
func TestDoctor_FindingsOfVaults(t *testing.T) {
	var got []chatcore.Severity
	for _, f := range vaultFindings(t.Context(), checked{err: ports.ErrVaultDenied}) {
		if got = append(got, f.Severity); f.Why == "" || f.Remedy == "" || f.Code == "" {
			t.Errorf("a finding is %+v", f)
		}
	}
	if want := []chatcore.Severity{"danger", "danger", "danger", "warning", "warning", "note", "warning"}; !slices.Equal(got, want) {
		t.Errorf("the severities are %v, want %v", got, want)
	}
}

// TestServe_EmbeddedKeepsItsLog sends messages to an embedded log with a vault. It is all there after a clean stop, under the same id; and what was flushed is there
// in a copy of the vault as a crash leaves it, under another id, beside the log before. That one can then be removed from the vault.
func TestServe_EmbeddedKeepsItsLog(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	s := &shell{t: t, base: []string{"--partitions", "2"}}
	dir, crashed := t.TempDir(), t.TempDir()
	serve := func(dir string) (url string, end func() error) {
		t.Helper()
		out, errs, end := s.start(nil, "serve", "--embedded", "--vault", dir, "--vault-flush", "100ms", "--listen", "127.0.0.1:0")
		wait.Until(t, "it serves", func() bool {
			return strings.Contains(out.String(), "http://") || strings.Contains(errs.String(), "core: ")
		})
		return apiURL(t, out), end
	}
	url, end := serve(dir)
	calls(t, url, "v1.ChatService/CreateChat", "", createGarden, 200, `"seq"`)
	calls(t, url, "v1.MessageService/SendMessage", "", `{"chat_id": "garden", "actor_id": "ada", "message_id": "m1", "content": "Hello!"}`, 200, `"m1"`)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	first := manifests(t, dir)

	url, end = serve(dir)
	calls(t, url, "v1.MessageService/ListMessages", "", `{"chat_id": "garden"}`, 200, "Hello!")
	calls(t, url, "v1.MessageService/SendMessage", "", `{"chat_id": "garden", "actor_id": "ada", "message_id": "m1", "content": "Hello!"}`, 200, `"duplicate":true`)
	calls(t, url, "v1.MessageService/SendMessage", "", `{"chat_id": "garden", "actor_id": "ada", "message_id": "m2", "content": "Again!"}`, 200, `"m2"`)
	if m := manifests(t, dir); m[len(m)-1].Log != first[0].Log || m[len(m)-1].Closed != 0 {
		t.Errorf("after a clean stop the manifest is %+v, before %+v", m[len(m)-1], first[0])
	}
	wait.Until(t, "the message is in the vault", func() bool {
		if err := os.RemoveAll(crashed); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			return false // a file is being written
		}
		v, err := vault.Open(t.Context(), crashed, nil)
		if err != nil {
			t.Fatal(err)
		}
		report, err := chatcore.Verify(t.Context(), chatcore.Config{}, chatcore.VerifyConfig{Vault: v})
		return err == nil && report.Chats > 0 && report.Findings == 0 && hasMessage(t, v, "m2")
	})
	if err := end(); err != nil {
		t.Fatal(err)
	}

	url, end = serve(crashed)
	calls(t, url, "v1.MessageService/ListMessages", "", `{"chat_id": "garden"}`, 200, "Again!")
	if err := end(); err != nil {
		t.Fatal(err)
	}
	all := manifests(t, crashed)
	ids := make(map[string]bool)
	for _, m := range all {
		ids[m.Log] = true
	}
	if len(ids) != 2 {
		t.Errorf("the logs of the vault are %v", ids)
	}
	s.base = nil
	if _, _, err := s.try("vault", "remove", "--vault", crashed, "--log", first[0].Log); err == nil {
		t.Error("a log is removed without --yes")
	}
	if removed := s.json("vault", "remove", "--vault", crashed, "--log", first[0].Log, "--yes")[0]; removed["objects"].(float64) < 3 {
		t.Errorf("removed %v", removed)
	}
	s.base = []string{"--partitions", "2"}
	url, end = serve(crashed)
	calls(t, url, "v1.MessageService/ListMessages", "", `{"chat_id": "garden"}`, 200, "Again!")
	if err := end(); err != nil {
		t.Fatal(err)
	}
}

// hasMessage reports whether a vault has a message, in any object.
func hasMessage(t *testing.T, v ports.Vault, message string) bool {
	t.Helper()
	dir := t.TempDir() + "/log"
	if _, err := chatcore.Export(t.Context(), chatcore.Config{}, chatcore.ExportConfig{Vault: v, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path) //nolint:gosec // of this test
		found = found || strings.Contains(string(data), `"messageId":"`+message+`"`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
