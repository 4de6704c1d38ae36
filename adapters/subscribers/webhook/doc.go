// Package webhook runs consumer groups of kind webhook: it sends each event to an HTTP endpoint with a POST, in the envelope and with the signature of
// Standard Webhooks (https://www.standardwebhooks.com).
//
// The package owns requests and signatures (request.go, signature.go), the classes of answers (answer.go), the breaker of an endpoint (breaker.go), the guard
// against requests to private addresses (guard.go), the encryption of secrets (keyring.go) and the record of attempts (attempts.go). Order, retries, dead
// letters and leases are those of the group, which package group runs.
package webhook
