// Package console has the files of the web console as they are built: dist, which make console writes from src and clients/ts/src. It owns the files and
// must not know how they are served.
package console

import (
	"embed"
	"io/fs"
)

//go:embed dist/index.html dist/assets
var dist embed.FS

// Files returns the built files: index.html, and assets with the hash of their content in their names.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil { // only for a name that is not valid
		panic(err)
	}
	return files
}
