// Package session stores sessions on Redis: by the hash of the token, or in the form of the TypeScript module. Scripts keep the policy of lifetimes and
// of sessions per user.
package session
