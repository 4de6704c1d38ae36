package auth_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), text)
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// running runs a function until the test ends.
func running(t testing.TB, run func(ctx context.Context)) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

const quickly = time.Millisecond

func TestOpenServiceTokens_Refuses(t *testing.T) {
	dir := t.TempDir()
	broken, twice, large := filepath.Join(dir, "broken"), filepath.Join(dir, "twice"), filepath.Join(dir, "large")
	writeFile(t, broken, "{")
	writeFile(t, twice, tokensText(entryText("a")))
	writeFile(t, large, strings.Repeat(" ", 1<<20+1))
	_, a := newToken(t, "a", auth.ScopeAdmin)
	for name, c := range map[string]struct {
		config auth.TokensConfig
		want   error
	}{
		"no source":        {auth.TokensConfig{}, domain.ErrInvalid},
		"no file":          {auth.TokensConfig{File: filepath.Join(dir, "none")}, fs.ErrNotExist},
		"a folder":         {auth.TokensConfig{File: dir}, domain.ErrInvalid},
		"a broken file":    {auth.TokensConfig{File: broken}, domain.ErrInvalid},
		"a large file":     {auth.TokensConfig{File: large}, domain.ErrInvalid},
		"an invalid entry": {auth.TokensConfig{Entries: []auth.TokenEntry{{ID: "a"}}}, domain.ErrInvalid},
		"an id twice":      {auth.TokensConfig{File: twice, Entries: []auth.TokenEntry{a}}, domain.ErrInvalid},
		"entries twice":    {auth.TokensConfig{Entries: []auth.TokenEntry{a, a}}, domain.ErrInvalid},
	} {
		if _, err := auth.OpenServiceTokens(c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestServiceTokens_FollowTheFile changes the file in every way while requests are authenticated. A broken version stays without effect, and is logged once.
func TestServiceTokens_FollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	inline, inlineEntry := newToken(t, "inline", auth.ScopeAdmin)
	first, a := newToken(t, "a", auth.ScopeAdmin)
	second, b := newToken(t, "b", auth.ScopePresence)
	if err := auth.EditTokensFile(path, addTo(a)); err != nil {
		t.Fatal(err)
	}
	var log logBuffer
	tokens := openTokens(t, auth.TokensConfig{File: path, Entries: []auth.TokenEntry{inlineEntry}, Poll: quickly, Logger: log.logger()})
	running(t, tokens.Run)
	valid := func(token auth.ServiceToken) bool {
		_, err := tokens.Authenticate(token)
		return err == nil
	}
	running(t, func(ctx context.Context) {
		for ctx.Err() == nil {
			if !valid(inline) {
				t.Error("the token of the configuration is not valid for a moment")
				return
			}
		}
	})
	if !valid(first) || valid(second) {
		t.Error("the first version is not in effect")
	}
	loaded := func(n int) func() bool { return func() bool { return log.count("file loaded") >= n } }
	failed := func(n int) func() bool { return func() bool { return log.count("level=ERROR") >= n } }

	if err := auth.EditTokensFile(path, addTo(b)); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a token is added", func() bool { return valid(second) })
	wait.Until(t, "it is logged", loaded(1))

	good, err := os.ReadFile(path) //nolint:gosec // of this test
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text string) { // at once, as an operator's editor does
		writeFile(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	for i, broken := range []string{string(good[:len(good)/2]), "", tokensText(entryText("inline"))} {
		replace(broken)
		wait.Until(t, "a broken version is logged", failed(i+1))
		if !valid(first) || !valid(second) || !valid(inline) {
			t.Errorf("%q is in effect", broken)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a missing file is logged", failed(4))
	if !valid(first) || !valid(second) {
		t.Error("a missing file is in effect")
	}
	replace(string(good))
	wait.Until(t, "the good version is loaded again", loaded(2))

	if err := auth.EditTokensFile(path, func(entries []auth.TokenEntry) ([]auth.TokenEntry, error) { return entries[1:], nil }); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a token is revoked", func() bool { return !valid(first) })
	if !valid(second) || !valid(inline) {
		t.Error("the other tokens end too")
	}
	if n := log.count("level=ERROR"); n != 4 {
		t.Errorf("4 problems are logged %d times", n)
	}
	if log.count("cc_") > 0 {
		t.Error("a token is logged")
	}
}

// TestServiceTokens_SameSizeAndTime replaces an entry by one of the same size within the resolution of the file's time.
func TestServiceTokens_SameSizeAndTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	first, a := newToken(t, "a", auth.ScopeAdmin)
	second, b := newToken(t, "a", auth.ScopeAdmin)
	at := time.Now().Add(-time.Hour)
	put := func(entry auth.TokenEntry) {
		text, err := entry.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, tokensText(string(text)))
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	put(a)
	tokens := openTokens(t, auth.TokensConfig{File: path})
	put(b)
	if err := tokens.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Authenticate(first); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the replaced token: %v", err)
	}
	if _, err := tokens.Authenticate(second); err != nil {
		t.Errorf("the new token: %v", err)
	}
}
