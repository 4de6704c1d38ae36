// Package vault opens vaults by their URLs. Each kind of vault is a package: file, s3, and [memory.Vault] for tests. Package object has the formats of the
// objects in a vault, and package probe tests whether a store keeps the promises of [ports.Vault].
//
// The package links no client of S3: a program that wants one passes s3.Open to [Open].
package vault
