// Package conn opens clients of Redis, on a single server, behind Sentinels or on a Cluster. It parses URLs, bounds the first attempts to connect, and
// logs how connections are lost and found again. It never repeats a command.
package conn
