package auth

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWatchedFile_Read reports each change of the outcome once. A text of the same size is another one, and a file that was away is loaded again.
func TestWatchedFile_Read(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	loads := 0
	f := &watchedFile{path: path, limit: 8, load: func(text []byte) error {
		loads++
		if text[0] == 'x' {
			return errors.New(string(text))
		}
		return nil
	}}
	for i, step := range []struct {
		text    string // "" removes the file
		changed bool
		fails   bool
		loads   int
	}{
		{"", true, true, 0},
		{"", false, true, 0},
		{"a1", true, false, 1},
		{"a1", false, false, 1},
		{"a2", true, false, 2},
		{"x1", true, true, 3},
		{"x1", false, true, 4},
		{"x2", true, true, 5},
		{"", true, true, 5},
		{"a2", true, false, 6},
		{"", true, true, 6},
		{"a2", true, false, 7},
		{"a2", false, false, 7},
		{"123456789", true, true, 7},
		{"123456789", false, true, 7},
	} {
		err := os.Remove(path)
		if step.text != "" {
			err = os.WriteFile(path, []byte(step.text), 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if changed, err := f.read(); changed != step.changed || (err != nil) != step.fails || loads != step.loads {
			t.Errorf("step %d (%q): changed %t, error %v, %d loads; want %+v", i, step.text, changed, err, loads, step)
		}
	}
}

// TestProblemText is the same for every system call that misses a file.
func TestProblemText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	_, statErr := os.Stat(path)
	_, openErr := os.Open(path) //nolint:gosec // of this test
	if statErr == nil || problemText(statErr) != problemText(openErr) || problemText(nil) != "" {
		t.Errorf("%q and %q", problemText(statErr), problemText(openErr))
	}
}
