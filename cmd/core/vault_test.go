package main

import (
	"context"
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
