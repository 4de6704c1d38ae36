// Package bench measures chatcore beside what it is compared with: stock watermill-redisstream and bare Redis commands, in the same run,
// on the same server. docs/benchmarks.md has the figures and how to get them.
package bench
