package logdir

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

// Writer writes a directory. It is safe for concurrent use.
type Writer struct {
	dir, temporary string

	mu      sync.Mutex // guards the others
	sums    map[string]string
	folders map[string]struct{}
	chats   int
	events  int
}

// Create begins a directory that does not exist, or is empty. It returns a [*domain.InvalidError] for another one. [Writer.Finish] or [Writer.Discard] must follow.
func Create(dir string) (*Writer, error) {
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, &domain.InvalidError{Field: "DIR", Problem: dir + " is not empty", Allowed: "a directory that does not exist, or is empty"}
	}
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails since Go 1.24
	w := &Writer{dir: dir, temporary: dir + ".unfinished-" + hex.EncodeToString(random), sums: make(map[string]string), folders: make(map[string]struct{})}
	return w, os.MkdirAll(filepath.Join(w.temporary, chatsFolder), 0o750)
}

// Chat writes a chat. It returns the number of its events. A chat without events is an error.
func (w *Writer) Chat(chat domain.ChatID, parts func(yield func(ports.ChatPart, error) bool)) (events int, err error) {
	name := File(chat)
	w.mu.Lock()
	_, known := w.folders[path.Dir(name)]
	w.folders[path.Dir(name)] = struct{}{}
	w.mu.Unlock()
	if !known {
		if err := os.MkdirAll(filepath.Join(w.temporary, path.Dir(name)), 0o750); err != nil {
			return 0, err
		}
	}
	file, err := w.create(name + eventsSuffix)
	if err != nil {
		return 0, err
	}
	var commands []byte
	for part, err := range parts {
		if err == nil {
			err = file.events(part.Events)
		}
		if err != nil {
			file.discard()
			return 0, err
		}
		events += len(part.Events)
		for _, c := range part.Commands {
			commands = fmt.Appendf(commands, "%d %016x\n", c.Last, c.Fingerprint)
		}
	}
	if err := file.close(); err != nil {
		return 0, err
	}
	if events == 0 {
		return 0, &ports.CorruptError{Chat: chat, Cause: errors.New("it has no events")}
	}
	if len(commands) > 0 {
		if err := w.file(name+commandsSuffix, commands); err != nil {
			return 0, err
		}
	}
	w.mu.Lock()
	w.chats++
	w.events += events
	w.mu.Unlock()
	return events, nil
}

// sumFile is a file that is being written.
type sumFile struct {
	w    *Writer
	name string
	file *os.File
	out  *bufio.Writer
	sum  hash.Hash
}

func (w *Writer) create(name string) (*sumFile, error) {
	file, err := os.OpenFile(filepath.Join(w.temporary, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	return &sumFile{w, name, file, bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<16), sum}, nil
}

func (f *sumFile) events(events [][]byte) error {
	for _, json := range events {
		if bytes.IndexByte(json, '\n') >= 0 {
			return &domain.InvalidError{Field: "event", Problem: fmt.Sprintf("has a line break: %.100q", json), Allowed: "JSON on one line"}
		}
		_, _ = f.out.Write(json) // Flush returns the error
		_ = f.out.WriteByte('\n')
	}
	return nil
}

// close flushes a file to the disk.
func (f *sumFile) close() error {
	err := f.out.Flush()
	if err == nil {
		err = f.file.Sync()
	}
	if err := errors.Join(err, f.file.Close()); err != nil {
		return err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.sums[f.name] = hex.EncodeToString(f.sum.Sum(nil))
	return nil
}

func (f *sumFile) discard() { _ = f.file.Close() }

// file writes a small file.
func (w *Writer) file(name string, data []byte) error {
	f, err := w.create(name)
	if err != nil {
		return err
	}
	_, _ = f.out.Write(data) // close returns the error
	return f.close()
}

// Finish writes manifest and sums, and gives the directory its name. The counts of the manifest are those of the chats that were written.
func (w *Writer) Finish(m Manifest) error {
	m.Format, m.Chats, m.Events = Format, w.chats, w.events
	data, err := m.encode()
	if err != nil {
		return err
	}
	if err := w.file(manifestFile, data); err != nil {
		return err
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.sums)) {
		sums.WriteString(w.sums[name] + "  " + name + "\n")
	}
	if err := w.file(sumsFile, []byte(sums.String())); err != nil {
		return err
	}
	for folder := range w.folders {
		if err := syncFolder(filepath.Join(w.temporary, folder)); err != nil {
			return err
		}
	}
	for _, folder := range []string{filepath.Join(w.temporary, chatsFolder), w.temporary} {
		if err := syncFolder(folder); err != nil {
			return err
		}
	}
	if err := os.Remove(w.dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // a rename does not replace an empty directory
		return err
	}
	if err := os.Rename(w.temporary, w.dir); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(w.dir))
}

// syncFolder flushes the entries of a folder to the disk.
func syncFolder(folder string) error {
	f, err := os.Open(folder) //nolint:gosec // of the caller
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Discard removes what was written.
func (w *Writer) Discard() error { return os.RemoveAll(w.temporary) }

// parseCommand parses a line of a commands file.
func parseCommand(line string) (c ports.CopiedCommand, ok bool) {
	last, fingerprint, _ := strings.Cut(line, " ")
	n, err1 := strconv.ParseUint(last, 10, 64)
	f, err2 := strconv.ParseUint(fingerprint, 16, 64)
	return ports.CopiedCommand{Last: domain.Seq(n), Fingerprint: f}, err1 == nil && err2 == nil
}
