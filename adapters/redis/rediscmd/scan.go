package rediscmd

import (
	"context"
	"iter"
	"strings"
)

// EscapePattern escapes the special characters of a pattern.
func EscapePattern(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(text)
}

// ScanCount is the number of fields or members that one step of a scan reads.
const ScanCount = 500

// Scan yields the names that the steps of a scan return, from cursor 0 until it is 0 again. It stops at the first error.
func Scan(ctx context.Context, step func(cursor uint64) ([]string, uint64, error)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			var names []string
			err := ctx.Err()
			if err == nil {
				names, cursor, err = step(cursor)
				err = Unavailable(ctx, err)
			}
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}
