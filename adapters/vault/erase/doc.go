// Package erase removes the content of erased events from the copies of a log in a vault. It writes the list of erasures, which every reader of the vault
// applies, and rewrites sealed segments. Journals and tails are not rewritten: they expire. It knows objects and their formats, and nothing of the log.
package erase
