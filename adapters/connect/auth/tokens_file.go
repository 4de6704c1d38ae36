package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"chatcore/domain"
)

const (
	maxTokensFile = 1 << 20 // bytes
	maxTokens     = 1000
	lockSuffix    = ".lock"
	fileMode      = 0o600
)

// tokensJSON is the form of a tokens file.
type tokensJSON struct {
	Tokens []entryJSON `json:"tokens"`
}

type entryJSON struct {
	ID      string    `json:"id"`
	SHA256  string    `json:"sha256"`
	Scopes  []string  `json:"scopes"`
	Expires time.Time `json:"expires,omitzero"`
	Comment string    `json:"comment,omitempty"`
}

// MarshalJSON returns the entry as a tokens file has it.
func (e TokenEntry) MarshalJSON() ([]byte, error) {
	texts := make([]string, len(e.Scopes))
	for i, scope := range e.Scopes {
		texts[i] = string(scope)
	}
	return json.Marshal(entryJSON{ID: e.ID, SHA256: hex.EncodeToString(e.SHA256[:]), Scopes: texts, Expires: e.Expires, Comment: e.Comment})
}

func (j entryJSON) entry() (TokenEntry, error) {
	scopes, err := ParseScopes(j.Scopes)
	if err != nil {
		return TokenEntry{}, err
	}
	sum, err := parseSHA256(j.SHA256)
	if err != nil {
		return TokenEntry{}, err
	}
	entry := TokenEntry{ID: j.ID, SHA256: sum, Scopes: scopes, Expires: j.Expires, Comment: j.Comment}
	return entry, entry.Check()
}

// ParseTokens reads the text of a tokens file:
//
//	{"tokens": [{"id": "shop", "sha256": "64 hex digits", "scopes": ["chats:read"], "expires": "2027-01-31T00:00:00Z", "comment": "for people"}]}
//
// expires and comment may be missing. The error of anything else is a [*domain.InvalidError], which names the entry by its place from 1. The text has
// 1 MiB and 1,000 tokens at most, and no two tokens of one id.
func ParseTokens(text []byte) ([]TokenEntry, error) {
	if len(text) > maxTokensFile {
		return nil, malformedTokens(fmt.Sprintf("have %d bytes", len(text)))
	}
	var parsed tokensJSON
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		return nil, malformedTokens("cannot be read: " + err.Error())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, malformedTokens("have text after the object")
	}
	if parsed.Tokens == nil {
		return nil, malformedTokens(`have no list "tokens"`)
	}
	if len(parsed.Tokens) > maxTokens {
		return nil, malformedTokens(fmt.Sprintf("are %d", len(parsed.Tokens)))
	}
	entries := make([]TokenEntry, 0, len(parsed.Tokens))
	for i, j := range parsed.Tokens {
		entry, err := j.entry()
		if err != nil {
			return nil, fmt.Errorf("token %d: %w", i+1, err)
		}
		entries = append(entries, entry)
	}
	if _, err := byID(entries); err != nil {
		return nil, err
	}
	return entries, nil
}

func malformedTokens(problem string) error {
	return &domain.InvalidError{
		Field: "tokens", Problem: problem,
		Allowed: `one JSON object {"tokens": [...]} of up to 1000 entries with id, sha256, scopes, expires and comment, and up to 1 MiB`,
	}
}

// byID returns the entries by id. It refuses two of one id.
func byID(entries []TokenEntry) (map[string]TokenEntry, error) {
	found := make(map[string]TokenEntry, len(entries))
	for _, e := range entries {
		if _, twice := found[e.ID]; twice {
			return nil, &domain.InvalidError{Field: "id", Problem: fmt.Sprintf("%q has two tokens", e.ID), Allowed: "one token for each id"}
		}
		found[e.ID] = e
	}
	return found, nil
}

// ReadTokensFile returns the entries of a tokens file.
func ReadTokensFile(path string) ([]TokenEntry, error) {
	text, err := readBounded(path, maxTokensFile)
	if err != nil {
		return nil, err
	}
	entries, err := ParseTokens(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// EditTokensFile replaces the entries of a tokens file by those that edit returns for them. A file that does not exist is created with mode 0600; one
// that exists keeps its mode. The replacement is atomic: readers see the old entries or the new ones, also after a crash. One edit runs at a time;
// PATH.lock is its lock, and a further one returns an error that names it. If edit returns an error, the file stays as it is.
func EditTokensFile(path string, edit func(entries []TokenEntry) ([]TokenEntry, error)) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a rename would replace the link
	}
	lock, err := os.OpenFile(path+lockSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrExist) {
		return &domain.InvalidError{Field: path, Problem: "is being edited: " + path + lockSuffix + " exists", Allowed: "one edit at a time; remove the lock if no edit runs"}
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
			_ = os.Remove(lock.Name())
		}
	}()
	entries, err := ReadTokensFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if entries, err = edit(entries); err != nil {
		return err
	}
	text, err := formatTokens(entries)
	if err != nil {
		return err
	}
	if info, statErr := os.Stat(path); statErr == nil {
		err = lock.Chmod(info.Mode().Perm())
	}
	if err == nil {
		_, err = lock.Write(text)
	}
	if err == nil {
		err = lock.Sync()
	}
	if err == nil {
		err = lock.Close()
	}
	if err != nil {
		return err
	}
	if err = os.Rename(lock.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// formatTokens returns the text of a tokens file. It refuses entries that [ParseTokens] would refuse.
func formatTokens(entries []TokenEntry) ([]byte, error) {
	if entries == nil {
		entries = []TokenEntry{}
	}
	text, err := json.MarshalIndent(struct {
		Tokens []TokenEntry `json:"tokens"`
	}{entries}, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	_, err = ParseTokens(text)
	return text, err
}

// syncDir writes a directory to disk, so that a rename in it survives a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
