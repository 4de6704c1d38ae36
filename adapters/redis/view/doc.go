// Package view stores read models by user on Redis: the unread counts that other programs read, and the chats of each user. Each number has a version, so
// that an older event changes nothing.
package view
