// Package failures holds chatcore to the table in docs/failures.md: what each call returns while Redis is stopped, frozen, slow, flushed or
// failing over. The table is read, and every cell of it is tried.
package failures
