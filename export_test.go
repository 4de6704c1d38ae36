package chatcore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// filesOf returns the content of the files of a directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestExport_RoundTrip exports a log, imports it, and exports that: the directories are the same. So is an export of the vault.
func TestExport_RoundTrip(t *testing.T) {
	client, namespace, dirs := shared(t), "run-"+uuid.NewString(), t.TempDir()
	config := on(t, namespace, 3)
	core := opened(t)(chatcore.New(t.Context(), config))
	fillChats(t, core, twoSegments)
	long := domain.ChatID("../%" + strings.Repeat("ü.", 40))
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: long, Actor: "ada", Command: "x"}))
	one, two, three := filepath.Join(dirs, "one"), filepath.Join(dirs, "two"), filepath.Join(dirs, "three")
	report := must[chatcore.ExportReport](t)(chatcore.Export(t.Context(), on(t, namespace, 1), chatcore.ExportConfig{Dir: one}))
	if report.Chats != 4 || report.Events < 1024 {
		t.Errorf("report %+v", report)
	}
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", "cd "+one+" && sha256sum -c --quiet SHA256SUMS").CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v %s", err, out)
	}
	l := storedLog(t, client, namespace, nil)
	l.archive(0, nil)
	must[chatcore.ExportReport](t)(chatcore.Export(t.Context(), chatcore.Config{}, chatcore.ExportConfig{Dir: three, Vault: l.vault}))

	to := "to-" + uuid.NewString()
	imported := must[chatcore.RestoreReport](t)(chatcore.ImportLog(t.Context(), on(t, to, 0), chatcore.ImportConfig{Dir: one, KeepID: true}))
	if imported.Log != report.Log || imported.Chats != report.Chats || imported.Events != report.Events || imported.Partitions != 3 {
		t.Errorf("report %+v of an import of %+v", imported, report)
	}
	copied := opened(t)(chatcore.New(t.Context(), on(t, to, 3)))
	if found := checked(t, copied, chatcore.FsckConfig{}); len(found) > 0 {
		t.Errorf("an imported log has %+v", found)
	}
	known := func(domain.ChatID, string) bool { return false }
	chats := []domain.ChatID{"big", "small", "left", long}
	want, got := keysOfChats(t, client, namespace, 3, known, chats...), keysOfChats(t, client, to, 3, known, chats...)
	for key := range want {
		if !reflect.DeepEqual(got[key], want[key]) {
			t.Errorf("%s: %.500q, want %.500q", key, fmt.Sprint(got[key]), fmt.Sprint(want[key]))
		}
	}
	must[chatcore.ExportReport](t)(chatcore.Export(t.Context(), on(t, to, 3), chatcore.ExportConfig{Dir: two}))
	first := filesOf(t, one)
	for _, dir := range []string{two, three} {
		if again := filesOf(t, dir); !maps.Equal(first, again) {
			for name := range first {
				if first[name] != again[name] {
					t.Errorf("%s differs in %s: %.200q, %.200q", name, dir, first[name], again[name])
				}
			}
			t.Errorf("%d files, and %d in %s", len(first), len(again), dir)
		}
	}
	other := must[chatcore.RestoreReport](t)(chatcore.ImportLog(t.Context(), on(t, "to-"+uuid.NewString(), 0), chatcore.ImportConfig{Dir: one, Partitions: 1}))
	if other.Log == report.Log || len(other.Ancestors) != 1 || other.Ancestors[0].Log != report.Log || other.Partitions != 1 {
		t.Errorf("report %+v of an import with another id", other)
	}
}

// TestExport_Refuses directories that have files, and leaves nothing behind.
func TestExport_Refuses(t *testing.T) {
	run, dirs := runAndArchive(t, 0, nil), t.TempDir()
	full := filepath.Join(dirs, "full")
	if err := errors.Join(os.Mkdir(full, 0o750), os.WriteFile(filepath.Join(full, "x"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := chatcore.Export(t.Context(), on(t, run.namespace, 2), chatcore.ExportConfig{Dir: full}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a directory with a file: %v", err)
	}
	stopped := chatcore.ExportConfig{Dir: filepath.Join(dirs, "new"), Progress: func(chatcore.CopyProgress) error { return errEnough }}
	if _, err := chatcore.Export(t.Context(), on(t, run.namespace, 2), stopped); !errors.Is(err, errEnough) {
		t.Errorf("an export that is stopped: %v", err)
	}
	if entries := must[[]os.DirEntry](t)(os.ReadDir(dirs)); len(entries) != 1 {
		t.Errorf("it has left %v", entries)
	}
	if _, err := chatcore.Export(t.Context(), on(t, "none-"+uuid.NewString(), 2), chatcore.ExportConfig{Dir: filepath.Join(dirs, "none")}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no log: %v", err)
	}
	empty := filepath.Join(dirs, "empty")
	if err := os.Mkdir(empty, 0o750); err != nil {
		t.Fatal(err)
	}
	must[chatcore.ExportReport](t)(chatcore.Export(t.Context(), on(t, run.namespace, 2), chatcore.ExportConfig{Dir: empty}))
}

// TestImportLog_RefusesDamage changes each file of an export.
func TestImportLog_RefusesDamage(t *testing.T) {
	run, dir := runAndArchive(t, 0, nil), filepath.Join(t.TempDir(), "log")
	must[chatcore.ExportReport](t)(chatcore.Export(t.Context(), on(t, run.namespace, 2), chatcore.ExportConfig{Dir: dir}))
	namespace := "to-" + uuid.NewString()
	refused := func(what string) {
		t.Helper()
		if _, err := chatcore.ImportLog(t.Context(), on(t, namespace, 0), chatcore.ImportConfig{Dir: dir}); !errors.Is(err, chatcore.ErrDamagedExport) {
			t.Errorf("%s: %v", what, err)
		}
		if keys := keysOf(t, run.client, namespace); len(keys) > 0 {
			t.Errorf("%s: it has left %q", what, keys)
		}
	}
	for name, content := range filesOf(t, dir) {
		path := filepath.Join(dir, name)
		for what, changed := range map[string][]byte{"changed": bytes.Replace([]byte(content), []byte("e"), []byte("f"), 1), "cut": []byte(content)[:len(content)-2]} {
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(name + " " + what)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if name != "SHA256SUMS" {
			refused(name + " removed")
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more := filepath.Join(dir, "chats", "more.jsonl")
	if err := os.WriteFile(more, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a file more")
	if err := os.Remove(more); err != nil {
		t.Fatal(err)
	}
	must[chatcore.RestoreReport](t)(chatcore.ImportLog(t.Context(), on(t, namespace, 0), chatcore.ImportConfig{Dir: dir}))
}
