// Package bench measures chatcore beside stock watermill-redisstream and bare Redis commands, in the same run and on the same server.
// docs/benchmarks.md has the figures and explains how to measure them.
package bench
