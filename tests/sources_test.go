package tests

import (
	"io/fs"
	"strings"
)

// skipped returns [fs.SkipDir] for a folder without sources of the project: data, dependencies, and the output of builds, which may run beside the tests.
func skipped(folder string) error {
	switch {
	case folder == "." || folder == "..":
	case strings.HasPrefix(folder, "."), folder == "testdata", folder == "node_modules", folder == "dist", folder == "output":
		return fs.SkipDir
	}
	return nil
}
