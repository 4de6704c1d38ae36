package object

import (
	"encoding/binary"
	"fmt"

	"chatcore/domain"
)

// Command is what the index of a chat has of a command and its events do not say.
type Command struct {
	Last        domain.Seq // of the last event of the command, which names it as its cause
	Fingerprint uint64     // of the command's name and arguments
}

// fingerprintBytes is the size of a fingerprint.
const fingerprintBytes = 8

// EncodeIndex returns the index of a segment or of a chat in a tail. The commands are ordered by Last. All else in the index of a chat follows from its events.
func EncodeIndex(commands []Command) []byte {
	var w writer
	last := uint64(0)
	for _, c := range commands {
		w.step(last, uint64(c.Last))
		last = uint64(c.Last)
		w.b = binary.BigEndian.AppendUint64(w.b, c.Fingerprint)
	}
	return w.b
}

// DecodeIndex reverses [EncodeIndex]. It returns a [*domain.InvalidError] for bytes that are none.
func DecodeIndex(index []byte) ([]Command, error) {
	r := &reader{rest: index}
	var commands []Command
	last := uint64(0)
	for len(r.rest) > 0 {
		last = r.step(last)
		fingerprint := r.take(fingerprintBytes)
		if r.wrong != "" {
			return nil, &domain.InvalidError{Field: "index", Problem: "is damaged: " + r.wrong, Allowed: "the bytes of EncodeIndex"}
		}
		commands = append(commands, Command{Last: domain.Seq(last), Fingerprint: binary.BigEndian.Uint64(fingerprint)})
	}
	for i := range len(commands) - 1 {
		if commands[i].Last >= commands[i+1].Last {
			return nil, &domain.InvalidError{Field: "index", Problem: fmt.Sprintf("has seq %d before seq %d", commands[i].Last, commands[i+1].Last), Allowed: "commands by rising seqs"}
		}
	}
	return commands, nil
}
