// Package typing stores typing marks on Redis. Each mark is a key that expires; a sorted set of the chat lists them.
package typing
