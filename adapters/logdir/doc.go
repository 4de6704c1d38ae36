// Package logdir has a log as files: one of JSON lines for each chat, a manifest, and the sums of all files. A directory is written under another name and renamed,
// so that it is whole or absent. docs/vault.md describes the files.
package logdir
