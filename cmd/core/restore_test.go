package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/embedded"
	"chatcore/tests/redistest"
)

// vaultOf writes the log of a shell into a vault in a directory.
func vaultOf(t *testing.T, s *shell) (dir string) {
	t.Helper()
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "vault")
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	keys, err := keyspace.New(s.base[1], 1, false)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := eventlog.FindStored(ctx, client, keys)
	if err != nil {
		t.Fatal(err)
	}
	v, err := openVault(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	put := func(name object.Name, data []byte, err error) {
		t.Helper()
		if err = errors.Join(err, v.Put(ctx, name.String(), data)); err != nil {
			t.Fatal(err)
		}
	}
	name := object.Manifest(stored.ID(), 0)
	data, err := object.EncodeManifest(&object.ManifestObject{Name: name, Log: stored.ID(), Partitions: stored.Partitions(), Hash: stored.Hash()})
	put(name, data, err)
	for p := range stored.Partitions() {
		tail := &object.TailPart{Name: object.Tail(stored.ID(), p, 1_700_000_000_000, 0), Full: true, Last: true, Ended: 1_700_000_000_000}
		for chat, err := range stored.Chats(ctx, p) {
			if err != nil {
				t.Fatal(err)
			}
			head, err := stored.Head(ctx, chat)
			if err != nil {
				t.Fatal(err)
			}
			c := object.TailChat{Chat: chat, Head: head}
			for part, err := range stored.Chat(ctx, chat, head) {
				if err != nil {
					t.Fatal(err)
				}
				for _, json := range part.Events {
					r, err := wireformat.New().Decode(json)
					if err != nil {
						t.Fatal(err)
					}
					c.Events = append(c.Events, object.Event{ID: r.ID, Ordinal: r.Ordinal, JSON: json})
				}
			}
			tail.Chats = append(tail.Chats, c)
		}
		data, err := codec.EncodeTail(tail)
		put(tail.Name, data, err)
	}
	return dir
}

// TestVault_OnTheCommandLine restores, verifies, exports and imports a log.
func TestVault_OnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "garden", "--as", "ada", "--member", "ben")
	s.do("send", "garden", "hello", "--as", "ada")
	history := s.do("history", "garden")
	vault := vaultOf(t, s)

	if out := s.do("verify", "--vault", vault, "--with-redis"); !strings.Contains(out, "1 chat, 3 events") {
		t.Errorf("verify: %s", out)
	}
	if _, _, err := s.try("verify", "--vault", vault, "--root", strings.Repeat("00", 32)); !errors.Is(err, errVaultFindings) {
		t.Errorf("a root that is not there: %v", err)
	}
	if _, _, err := s.try("restore", "--vault", vault); !errors.Is(err, chatcore.ErrOccupied) {
		t.Errorf("over the log: %v", err)
	}
	if _, _, err := s.try("restore", "--vault", vault, "--at", "yesterday"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("yesterday: %v", err)
	}
	other := newShell(t)
	other.base[3] = "3"
	if _, _, err := other.try("restore", "--vault", vault, "--at", "2001-01-01T00:00:00Z"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("before the log: %v", err)
	}
	restored := other.json("restore", "--vault", "file://"+vault)[0]
	if restored["events"] != 3.0 || restored["partitions"] != 3.0 || restored["log"] == restored["source"] || restored["moment"] != time.UnixMilli(1_700_000_000_000).UTC().Format(time.RFC3339) {
		t.Errorf("restored %v", restored)
	}
	if again := other.do("history", "garden"); again != history {
		t.Errorf("history %s, want %s", again, history)
	}
	other.do("fsck")

	dir, fromVault := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "log")
	if out := s.do("export", dir); !strings.Contains(out, "1 chat, 3 events") {
		t.Errorf("export: %s", out)
	}
	s.do("export", fromVault, "--vault", vault)
	for _, d := range []string{dir, fromVault} {
		if _, err := os.Stat(filepath.Join(d, "SHA256SUMS")); err != nil {
			t.Error(err)
		}
		third := newShell(t)
		if imported := third.json("import", "--log", d, "--keep-id")[0]; imported["log"] != restored["source"] || imported["events"] != 3.0 {
			t.Errorf("imported %v", imported)
		}
		if again := third.do("history", "garden"); again != history {
			t.Errorf("history %s, want %s", again, history)
		}
	}
	for _, args := range [][]string{{"export", dir + "-2", "--log", "x"}, {"import", "--log", dir, "x.jsonl"}, {"restore"}} {
		if _, _, err := s.try(args...); err == nil {
			t.Errorf("core %v succeeds", args)
		}
	}
}

// TestRestoreEmbedded restores a vault into a Redis in the process, and nothing from an empty vault.
func TestRestoreEmbedded(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "garden", "--as", "ada", "--member", "ben")
	s.do("send", "garden", "hello", "--as", "ada")
	for _, tc := range []struct {
		dir      string
		messages int
	}{{vaultOf(t, s), 1}, {filepath.Join(t.TempDir(), "empty"), 0}} {
		server, err := embedded.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		v, err := openVault(t.Context(), tc.dir)
		if err != nil {
			t.Fatal(err)
		}
		config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 4}}
		if err := newCLI(&buffer{}, &buffer{}).restoreEmbedded(t.Context(), config, v); err != nil {
			t.Fatal(err)
		}
		core, err := chatcore.New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		page, err := core.Queries.History(t.Context(), "garden", domain.Span{Limit: 10})
		if found := err == nil; len(page) != tc.messages || found != (tc.messages > 0) {
			t.Errorf("%d messages, %v", len(page), err)
		}
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	}
}
