package redistest

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// SetClockBack changes the data of a client's server as if its clock had been set back by d: every stored time is further away by d. These times are
// the TTL of every key, the state of GCRA in seconds since 2017, and every number of milliseconds since 1970 in scores, strings and values of hashes.
// Such a number must be within a year of now. Ids of stream entries remain as they are.
func SetClockBack(t testing.TB, client goredis.UniversalClient, d time.Duration) {
	t.Helper()
	ctx := t.Context()
	now, err := client.Time(ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if err := setKeyBack(ctx, client, key, now, d); err != nil {
			t.Fatalf("setting back %s: %v", key, err)
		}
	}
}

// millis matches numbers that may be milliseconds since 1970, or begin the id of a stream entry.
var millis = regexp.MustCompile(`\b\d{13}\b(-\d+)?`)

func later(text string, now time.Time, d time.Duration) string {
	const year = 365 * 24 * time.Hour
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f-float64(now.Unix()-1483228800)) < 24*time.Hour.Seconds() {
		return strconv.FormatFloat(f+d.Seconds(), 'f', -1, 64)
	}
	return millis.ReplaceAllStringFunc(text, func(number string) string {
		ms, _ := strconv.ParseInt(number, 10, 64)
		if len(number) > 13 || time.UnixMilli(ms).Sub(now).Abs() > year {
			return number
		}
		return strconv.FormatInt(ms+d.Milliseconds(), 10)
	})
}

func setKeyBack(ctx context.Context, client goredis.UniversalClient, key string, now time.Time, d time.Duration) error {
	kind, err := client.Type(ctx, key).Result()
	if err != nil {
		return err
	}
	switch kind {
	case "string":
		value, err := client.Get(ctx, key).Result()
		if err != nil {
			return err
		}
		if after := later(value, now, d); after != value {
			if err := client.Set(ctx, key, after, goredis.KeepTTL).Err(); err != nil {
				return err
			}
		}
	case "hash":
		fields, err := client.HGetAll(ctx, key).Result()
		if err != nil {
			return err
		}
		for field, value := range fields {
			if after := later(value, now, d); after != value && field != "epoch" {
				if err := client.HSet(ctx, key, field, after).Err(); err != nil {
					return err
				}
			}
		}
	case "zset":
		members, err := client.ZRangeWithScores(ctx, key, 0, -1).Result()
		if err != nil {
			return err
		}
		for _, m := range members {
			score := later(strconv.FormatFloat(m.Score, 'f', -1, 64), now, d)
			if err := client.Do(ctx, "zadd", key, score, fmt.Sprint(m.Member)).Err(); err != nil {
				return err
			}
		}
	}
	left, err := client.PTTL(ctx, key).Result()
	if err != nil || left <= 0 {
		return err
	}
	return client.PExpire(ctx, key, left+d).Err()
}
