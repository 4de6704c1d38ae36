package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// addTo returns an edit that adds an entry.
func addTo(entry auth.TokenEntry) func([]auth.TokenEntry) ([]auth.TokenEntry, error) {
	return func(entries []auth.TokenEntry) ([]auth.TokenEntry, error) { return append(entries, entry), nil }
}

const someHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func tokensText(entries ...string) string { return `{"tokens": [` + strings.Join(entries, ",") + `]}` }

func entryText(id string) string {
	return fmt.Sprintf(`{"id": %q, "sha256": %q, "scopes": ["admin"]}`, id, someHash)
}

func TestParseTokens(t *testing.T) {
	entries, err := auth.ParseTokens([]byte(tokensText(entryText("a"), `{"id": "b", "sha256": "`+someHash+`", "scopes": ["presence", "admin"], "expires": "2027-01-31T00:00:00Z", "comment": "x"}`)))
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	b := entries[1]
	if !b.Expires.Equal(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)) || b.Comment != "x" || !reflect.DeepEqual(b.Scopes, auth.Scopes{"admin", "presence"}) || b.SHA256[0] != 0xe3 {
		t.Errorf("the entry is %+v", b)
	}
	if none, err := auth.ParseTokens([]byte(tokensText())); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}

// TestParseTokens_Refuses names the problem of every malformed text.
func TestParseTokens_Refuses(t *testing.T) {
	many := make([]string, 1001)
	for i := range many {
		many[i] = entryText(fmt.Sprintf("a%d", i))
	}
	for text, want := range map[string]string{
		"":                                 "cannot be read",
		"{":                                "cannot be read",
		"[]":                               "cannot be read",
		"null":                             `no list "tokens"`,
		"{}":                               `no list "tokens"`,
		`{"tokens": null}`:                 `no list "tokens"`,
		`{"tokens": {}}`:                   "cannot be read",
		tokensText() + "{}":                "after the object",
		tokensText() + "x":                 "after the object",
		`{"tokens": [], "more": 1}`:        "more",
		tokensText("{}"):                   "token 1: scopes",
		tokensText(entryText("a"), "null"): "token 2: scopes",
		tokensText(`{"id": "a", "sha256": "` + someHash + `", "scopes": ["admin"], "token": "cc_a_b"}`):                             "token",
		tokensText(`{"id": "a", "sha256": "` + someHash + `", "scopes": []}`):                                                       "scopes are 0",
		tokensText(`{"id": "a", "sha256": "` + someHash + `", "scopes": ["root"]}`):                                                 `scope is "root"`,
		tokensText(`{"id": "a", "sha256": "` + someHash + `", "scopes": "admin"}`):                                                  "cannot be read",
		tokensText(`{"id": "A", "sha256": "` + someHash + `", "scopes": ["admin"]}`):                                                `id is "A"`,
		tokensText(`{"sha256": "` + someHash + `", "scopes": ["admin"]}`):                                                           "id is empty",
		tokensText(`{"id": "a", "scopes": ["admin"]}`):                                                                              "sha256",
		tokensText(`{"id": "a", "sha256": "` + someHash[1:] + `", "scopes": ["admin"]}`):                                            "64 hex digits",
		tokensText(`{"id": "a", "sha256": "` + strings.Repeat("x", 64) + `", "scopes": ["admin"]}`):                                 "64 hex digits",
		tokensText(`{"id": "a", "sha256": "` + someHash + `", "scopes": ["admin"], "expires": "soon"}`):                             "cannot be read",
		tokensText(`{"id": "a", "sha256": "` + someHash + `", "scopes": ["admin"], "comment": "` + strings.Repeat("x", 257) + `"}`): "comment has 257 bytes",
		tokensText(entryText("a"), entryText("a")):                                                                                  `"a" has two tokens`,
		tokensText(many...):          "are 1001",
		strings.Repeat(" ", 1<<20+1): "bytes",
	} {
		entries, err := auth.ParseTokens([]byte(text))
		if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "allowed: ") || entries != nil {
			t.Errorf("%.150q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseTokens reads any text. Text that it takes is written as it was read.
func FuzzParseTokens(f *testing.F) {
	for _, seed := range []string{"", "{}", tokensText(), tokensText(entryText("a"), entryText("b-2")), `{"TOKENS":[{"ID":"a"}]}`, tokensText(entryText("a")) + " ", tokensText(`{"id":"a","sha256":"` + someHash + `","scopes":["consume:é"],"expires":"2027-01-31T00:00:00+01:00","comment":"<&>"}`)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := auth.ParseTokens(text)
		if err != nil {
			if entries != nil {
				t.Errorf("entries beside an error: %v", entries)
			}
			return
		}
		again, err := json.Marshal(map[string]any{"tokens": entries})
		if err != nil {
			t.Fatal(err)
		}
		read, err := auth.ParseTokens(again)
		if err != nil || len(read) != len(entries) {
			t.Fatalf("written as %s: %v", again, err)
		}
		for i, e := range read {
			if !e.Expires.Equal(entries[i].Expires) || e.ID != entries[i].ID || e.SHA256 != entries[i].SHA256 || !reflect.DeepEqual(e.Scopes, entries[i].Scopes) {
				t.Errorf("%+v is written as %+v", entries[i], e)
			}
		}
	})
}

func TestEditTokensFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	_, a := newToken(t, "a", auth.ScopeAdmin)
	_, b := newToken(t, "b", auth.ScopePresence)
	a.Expires, a.Comment = time.Now().UTC().Add(time.Hour), "for people"
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if err := auth.EditTokensFile(path, addTo(a)); err != nil {
		t.Fatal(err)
	}
	if mode() != 0o600 {
		t.Errorf("a new file has mode %o", mode())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := auth.EditTokensFile(path, addTo(b)); err != nil {
		t.Fatal(err)
	}
	if mode() != 0o640 {
		t.Errorf("the file's mode becomes %o", mode())
	}
	entries, err := auth.ReadTokensFile(path)
	if err != nil || len(entries) != 2 || entries[0].ID != "a" || !entries[0].Expires.Equal(a.Expires) || entries[0].Comment != a.Comment || entries[1].SHA256 != b.SHA256 {
		t.Errorf("the file has %+v: %v", entries, err)
	}
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := auth.EditTokensFile(link, func([]auth.TokenEntry) ([]auth.TokenEntry, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is replaced: %v, %v", info, err)
	}
	if entries, err := auth.ReadTokensFile(path); err != nil || len(entries) != 0 {
		t.Errorf("after an edit by a link: %v, %v", entries, err)
	}
}

// TestEditTokensFile_Fails leaves the file as it was, and no lock.
func TestEditTokensFile_Fails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens.json")
	_, a := newToken(t, "a", auth.ScopeAdmin)
	if err := auth.EditTokensFile(path, addTo(a)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path) //nolint:gosec // of this test
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for name, edit := range map[string]func([]auth.TokenEntry) ([]auth.TokenEntry, error){
		"refused": func([]auth.TokenEntry) ([]auth.TokenEntry, error) { return nil, refused },
		"twice":   addTo(a),
		"invalid": addTo(auth.TokenEntry{ID: "b"}),
	} {
		if err := auth.EditTokensFile(path, edit); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	writeFile(t, path+".lock", "")
	if err := auth.EditTokensFile(path, addTo(a)); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), path+".lock") {
		t.Errorf("a locked file: %v", err)
	}
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Errorf("another edit's lock is removed: %v", err)
	}
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path) //nolint:gosec // of this test
	if err != nil || string(after) != string(before) {
		t.Errorf("the file became %s: %v", after, err)
	}
	writeFile(t, path, "broken")
	if err := auth.EditTokensFile(path, addTo(a)); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v", err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 {
		t.Errorf("files left are %q: %v", names, err)
	}
}
