package chaos

import (
	"context"
	"testing"
	"time"

	"chatcore/tests/redistest"
)

const (
	vanish      = "vanish"
	vanishGroup = "vanish from group"
	loseStream  = "lose stream"
	loseLetters = "lose dead letters"
)

// lostKeys are patterns of keys that follow from the log, or that nothing needs.
var lostKeys = []string{ //nolint:gochecknoglobals // never changes
	"message-delivery-stream:{*}", "cc:{*}:*:s", "cc:user-chats:*", "chat:unread:*", "cc:{*chat:unread:*}:v", "cc:{*}:*:x", "cc:{*}:*:u", "cc:{*}:*:d",
	"cc:{*}:chats", "cc:{*}:count",
}

// lostGroupKeys are those of a group's state.
var lostGroupKeys = []string{ //nolint:gochecknoglobals // never changes
	"cc:{*}:g:state:" + skipping, "cc:{*}:g:chats:" + skipping, "cc:{*}:g:left:" + parking, "cc:{*}:g:failing:" + parking,
	"cc:{*}:g:state:" + parking, "cc:{*}:g:chats:" + parking,
}

const nothing = "nothing"

// onKeys deletes keys, and has the operator repair the log: while workers run or, if a group lost its state, after they were stopped.
func onKeys(t *testing.T, o *operator, servers func() []*redistest.Server) []attack {
	return []attack{
		{loseStream, func(d dice) (string, func()) { // groups find its events by comparing the heads of chats
			return deleteOne(t, d, lostKeys[:1], servers()), nil
		}},
		{loseLetters, func(d dice) (string, func()) { // a chat that is parked for one flows again once that is repaired
			o.tending.Lock() // until there is one
			defer o.tending.Unlock()
			on := nothing
			for range 40 {
				if on = deleteOne(t, d, []string{"cc:{*}:g:dead:" + parking}, servers()); on != nothing {
					break
				}
				d.between(50*time.Millisecond, 50*time.Millisecond)
			}
			return on, o.repair
		}},
		{vanish, func(d dice) (string, func()) {
			on := deleteOne(t, d, lostKeys, servers())
			d.between(0, time.Second)
			return on, o.repair
		}},
		{vanishGroup, func(d dice) (string, func()) {
			o.crew.mu.Lock()
			o.crew.excuse() // a worker whose group is gone ends
			o.crew.mu.Unlock()
			on := deleteOne(t, d, lostGroupKeys, servers())
			d.between(0, time.Second)
			return on, func() { o.whileStopped(Resumed, o.repair) }
		}},
	}
}

// deleteOne deletes one key that matches a pattern, and returns its name.
func deleteOne(t *testing.T, d dice, patterns []string, servers []*redistest.Server) string {
	ctx := context.WithoutCancel(t.Context())
	for _, p := range d.Perm(len(patterns)) {
		for _, i := range d.Perm(len(servers)) {
			client := servers[i].Client(t)
			keys, err := client.Keys(ctx, patterns[p]).Result()
			if err != nil {
				t.Errorf("keys %s: %v", patterns[p], err)
				return ""
			}
			if len(keys) == 0 {
				continue
			}
			key := keys[d.IntN(len(keys))]
			if err := client.Del(ctx, key).Err(); err != nil {
				t.Errorf("deleting %s: %v", key, err)
			}
			return key
		}
	}
	return nothing
}
