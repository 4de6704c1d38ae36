package app

// Fingerprint is the log's fingerprint of a command.
func Fingerprint(name string, args [4]string) uint64 { return fingerprint(name, args) }
