// Package failures checks chatcore against the table in docs/failures.md: the result of each call while Redis is stopped, frozen, slow, flushed or
// failing over. It reads the table and tries every cell.
package failures
