// Package bench measures chatcore beside Centrifuge, stock watermill-redisstream, NATS JetStream, an outbox in PostgreSQL and bare Redis commands, in the same
// run. docs/benchmarks.md has the figures and explains how to measure them.
package bench
