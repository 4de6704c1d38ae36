// Package deploy checks what the project is packaged with: the Dockerfile, deploy/ and the build. Its tests read the files with the parsers of their
// programs, whose modules nothing else needs. Run them by make package.
package deploy
