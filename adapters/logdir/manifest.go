package logdir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"unicode/utf8"

	"chatcore/domain"
)

// Format is the format that this program writes, and the newest that it reads.
const Format = 1

// Names of files.
const (
	manifestFile   = "manifest.json"
	sumsFile       = "SHA256SUMS"
	chatsFolder    = "chats"
	eventsSuffix   = ".jsonl"
	commandsSuffix = ".commands"
)

// ErrDamaged is returned for a directory that is not as it was written; the error names the file.
var ErrDamaged = errors.New("the exported log is damaged")

// ErrNewerFormat is returned for a directory that only a newer program can read.
var ErrNewerFormat = errors.New("the exported log has a newer format")

// Manifest describes the log of a directory.
type Manifest struct {
	Format     int        `json:"format"`
	Log        string     `json:"log"` // log id
	Ancestors  []Ancestor `json:"ancestors,omitempty"`
	Partitions int        `json:"partitions"`
	Hash       string     `json:"hash"`   // that assigns chats to partitions
	Moment     int64      `json:"moment"` // of the latest last event of a chat, by the events' own times, in Unix milliseconds
	Chats      int        `json:"chats"`
	Events     int        `json:"events"`
}

// Ancestor is a log that the log continues.
type Ancestor struct {
	Log    string `json:"log"`
	ForkAt uint64 `json:"forkAt"` // in Unix milliseconds
}

func (m *Manifest) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

func readManifest(dir string) (*Manifest, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile)) //nolint:gosec // the caller's directory
	if err != nil {
		return nil, err
	}
	var m Manifest
	var version struct{ Format int }
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, damaged(manifestFile, "%v", err)
	}
	if version.Format > Format {
		return nil, fmt.Errorf("%w: format %d, this program knows up to %d; upgrade it", ErrNewerFormat, version.Format, Format)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, damaged(manifestFile, "%v", err)
	}
	if m.Format < 1 || m.Log == "" || m.Partitions < 1 {
		return nil, damaged(manifestFile, "format %d, log %q, %d partitions", m.Format, m.Log, m.Partitions)
	}
	return &m, nil
}

func damaged(file, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, file, fmt.Sprintf(format, args...))
}

// maxName bounds the part of a file's name that is of the chat's id, in bytes.
const maxName = 160

// File returns the name of a chat's files without suffix: in one of 256 folders, the escaped id or, if that is long, its beginning and a digest.
func File(chat domain.ChatID) string {
	digest := sha256.Sum256([]byte(chat))
	name := url.PathEscape(string(chat))
	if len(name) > maxName {
		end := maxName
		for !utf8.RuneStart(name[end]) || name[end-1] == '%' || name[end-2] == '%' {
			end--
		}
		name = name[:end] + "~" + hex.EncodeToString(digest[:16])
	}
	return path.Join(chatsFolder, hex.EncodeToString(digest[:1]), "c"+name)
}
