package app

import (
	"crypto/sha256"
	"encoding/binary"
)

// arguments are the arguments of a command in normalized form, without chat, actor and command id.
type arguments [4]string

// fingerprint identifies a command by its name and arguments. The log keeps it beside the command id, so that the same id with other
// arguments is noticed by every process and version: it must never change.
func fingerprint(name string, args arguments) uint64 {
	h := sha256.New()
	var size [8]byte
	write := func(s string) {
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	write(name)
	for _, arg := range args {
		write(arg)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
