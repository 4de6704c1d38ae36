// Package rediscmd is what all adapters on Redis need to send commands: classes of errors, such as refused, unavailable and never sent; routing to the
// master of a key; scans in pages. It knows no keys and no data.
package rediscmd
