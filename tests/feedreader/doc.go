// Package feedreader reads feeds of the API in tests. A [Reader] resumes by itself, on one instance after another, and records its messages. A [Track]
// checks the order of the messages.
package feedreader
