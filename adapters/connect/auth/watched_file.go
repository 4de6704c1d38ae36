package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/internal/backoff"
)

// filePoll is how often files are read by default.
const filePoll = 2 * time.Second

// readBounded returns the text of a regular file of up to limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	tooLarge := &domain.InvalidError{Field: path, Problem: fmt.Sprintf("has more than %d bytes", limit), Allowed: "a smaller file"}
	switch {
	case !info.Mode().IsRegular():
		return nil, &domain.InvalidError{Field: path, Problem: "is no regular file", Allowed: "a file"}
	case info.Size() > limit:
		return nil, tooLarge
	}
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, tooLarge
	}
	return text, err
}

// watchedFile loads a file again whenever its text has changed. It compares texts, because a change within the resolution of a file's time keeps time
// and size. load keeps what it has if it returns an error.
type watchedFile struct {
	path   string
	limit  int64
	load   func(text []byte) error
	poll   time.Duration
	logger *slog.Logger

	mu sync.Mutex
	// mu guards: text, problem.
	text    []byte // that was loaded last, or refused last
	problem string // of the last reading, if it failed
}

// read reads the file. changed reports whether the outcome differs from that of the last reading.
func (f *watchedFile) read() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := readBounded(f.path, f.limit)
	if err == nil {
		if f.text != nil && bytes.Equal(text, f.text) && f.problem == "" {
			return false, nil
		}
		f.text = text
		err = f.load(text)
	}
	problem := problemText(err)
	changed = err == nil || problem != f.problem
	f.problem = problem
	return changed, err
}

// problemText returns the text of an error without the system call that failed: a file that is removed during a reading fails in another one than
// before the next reading.
func problemText(err error) string {
	if err == nil {
		return ""
	}
	if system, is := errors.AsType[*fs.PathError](err); is {
		err = system.Err
	}
	return err.Error()
}

// run reads the file from time to time until ctx ends. It logs each change, and each further problem once.
func (f *watchedFile) run(ctx context.Context) {
	for backoff.Sleep(ctx, f.poll) == nil {
		switch changed, err := f.read(); {
		case !changed:
		case err != nil:
			f.logger.ErrorContext(ctx, "file not loaded, the last good version stays in effect", "file", f.path, "error", err)
		default:
			f.logger.InfoContext(ctx, "file loaded", "file", f.path)
		}
	}
}
