package embedded

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Identify makes a miniredis answer INFO replication, which a log needs to distinguish one history of the data from another. The replication ID lasts
// as long as the server, as its data does. It replaces the server's pre-hook.
func Identify(redis *miniredis.Miniredis) {
	id := make([]byte, 20)
	_, _ = rand.Read(id) // never fails since Go 1.24
	answer := "# Replication\r\nrole:master\r\nmaster_replid:" + hex.EncodeToString(id) + "\r\n"
	redis.Server().SetPreHook(func(c *server.Peer, command string, args ...string) bool {
		if command != "INFO" || len(args) != 1 || args[0] != "replication" {
			return false
		}
		c.WriteBulk(answer)
		return true
	})
}
