package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"chatcore"
)

// build is the state of the sources as git describes it, such as v0.2.0-3-g1234567. make build sets it by -ldflags -X.
var build string //nolint:gochecknoglobals // the linker sets nothing else

// versionView describes the program's build.
type versionView struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Build    string `json:"build,omitempty"` // of make build, which stamps no commit
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the build had changes that are in no commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
	LogLevel int    `json:"logLevel"` // highest level of a log that the program knows
}

func versionOf() versionView {
	v := versionView{Module: "chatcore", Version: chatcore.Version, Build: build, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, LogLevel: chatcore.LogLevel}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v versionView) String() string {
	commit := ""
	if v.Build != "" {
		commit = " build " + v.Build
	}
	if v.Commit != "" {
		commit = " commit " + v.Commit
	}
	if v.Modified {
		commit += " with changes"
	}
	return v.Version + commit + " " + v.Go + " " + v.Platform
}

func (c *cli) version() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "version", Short: "Show the program's version, commit and Go version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionOf()
			return c.print(v, "core version "+v.String())
		},
	})
}
