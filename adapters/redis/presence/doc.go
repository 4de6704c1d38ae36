// Package presence stores heartbeats and statuses of users on Redis, and publishes the transitions between statuses. One script computes a transition
// (script/presence.lua); a sweep ends heartbeats that expired.
package presence
