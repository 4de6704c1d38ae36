// Package object has the formats of the objects in a vault: their names, and the bytes under each. It does no I/O: [ports.Vault] moves the bytes.
//
// Every object is an envelope: magic, format, kind, length, its own name, a body, and the SHA-256 of all that. Decoding an object takes the name under which it was
// found, and returns an [*Error] with one of five reasons if the object is not the one that was stored there. docs/vault.md describes the bytes.
package object
