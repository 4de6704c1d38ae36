package definitions

import goredis "github.com/redis/go-redis/v9"

// Encode is encode.
var Encode = encode

// ChangeScript returns the script that changes a definition.
func ChangeScript() *goredis.Script { return goredis.NewScript(changeSource) }
