package console_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chatcore/web/console"
)

const repository = "../.."

// TestDist_IsFresh compares the checksums of the sources with those that the files were built from.
func TestDist_IsFresh(t *testing.T) {
	list, err := os.Open("dist/sources.sha256")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = list.Close() }()
	listed := make(map[string]bool)
	for lines := bufio.NewScanner(list); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		listed[name] = true
		content, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Errorf("%s was built into the console: %v; run make console", name, err)
			continue
		}
		if now := sha256.Sum256(content); hex.EncodeToString(now[:]) != sum {
			t.Errorf("%s has changed since the console was built: run make console", name)
		}
	}
	err = fs.WalkDir(os.DirFS("."), "src", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !listed[path.Join("web/console", name)] {
			t.Errorf("%s is newer than the console: run make console", name)
		}
		return err
	})
	if err != nil || len(listed) < 20 {
		t.Errorf("%d sources: %v", len(listed), err)
	}
}

// TestPictures_AreSmall bounds the pictures of README.md, which make e2e takes.
func TestPictures_AreSmall(t *testing.T) {
	const most = 200 << 10
	for _, name := range []string{"console-chat.png", "console-history.png"} {
		info, err := os.Stat(filepath.Join(repository, "docs", name))
		if err != nil || info.Size() > most {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestDist_IsSmallAndPlain bounds the size of the files, and checks that the policy of the page can be strict: it has no inline script or style, and names no
// other origin.
func TestDist_IsSmallAndPlain(t *testing.T) {
	const maxFile, maxAll = 300 << 10, 430 << 10
	all := 0
	err := fs.WalkDir(console.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(console.Files(), name)
		if all += len(content); len(content) > maxFile || strings.HasSuffix(name, ".map") {
			t.Errorf("%s has %d bytes", name, len(content))
		}
		if strings.Contains(string(content), "sourceMappingURL") {
			t.Errorf("%s names a source map", name)
		}
		return err
	})
	if err != nil || all > maxAll {
		t.Errorf("%d bytes: %v", all, err)
	}
	index, err := fs.ReadFile(console.Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for what, wrong := range map[string]string{"inline script": `<script[^>]*>[^<]`, "style": `<style|style=`, "handler": `\son\w+=`, "another origin": `(src|href)="(https?:)?//`} {
		if found := regexp.MustCompile(wrong).Find(index); found != nil {
			t.Errorf("%s: %s", what, found)
		}
	}
}
