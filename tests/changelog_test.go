package tests

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chatcore"
)

// TestChangelog_Format reads CHANGELOG.md: the latest release is that of the code, each release has each group once and in order, and no line occurs
// twice.
func TestChangelog_Format(t *testing.T) {
	text, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	release := regexp.MustCompile(`^## (\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$`)
	groups := []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
	seen, releases, last := make(map[string]bool), []string(nil), -1
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "":
		case strings.HasPrefix(line, "## "):
			last = -1
			if m := release.FindStringSubmatch(line); m != nil {
				releases = append(releases, m[1])
			} else if line != "## Unreleased" || len(releases) > 0 {
				t.Errorf("%q is neither a release with its date nor Unreleased at the top", line)
			}
		case strings.HasPrefix(line, "### "):
			at := slices.Index(groups, strings.TrimPrefix(line, "### "))
			if at <= last {
				t.Errorf("%q is no group, or out of order; allowed: %q", line, groups)
			}
			last = at
		case seen[line]:
			t.Errorf("%q occurs twice", line)
		default:
			seen[line] = true
		}
	}
	if len(releases) == 0 || releases[0] != chatcore.Version {
		t.Errorf("releases %q, want %s first", releases, chatcore.Version)
	}
}
