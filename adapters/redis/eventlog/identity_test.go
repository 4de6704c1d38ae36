package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// opening opens a log with a build that knows levels up to known; 0 is this build.
func opening(ctx context.Context, client goredis.UniversalClient, keys keyspace.Keys, known int) (*eventlog.Log, error) {
	return eventlog.Open(ctx, client, wireformat.New(), eventlog.Config{Keys: keys, KnownLevel: known})
}

func opened(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, known int) *eventlog.Log {
	t.Helper()
	log, err := opening(t.Context(), client, keys, known)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// onBoth runs a test on a single server and on a Cluster.
func onBoth(t *testing.T, test func(t *testing.T, client goredis.UniversalClient, keys func(t *testing.T) keyspace.Keys)) {
	t.Run("server", func(t *testing.T) {
		test(t, rig.Connect(t, redistest.Shared(t).URL()), func(t *testing.T) keyspace.Keys { return rig.NewKeys(t, keyspace.DefaultPartitions) })
	})
	t.Run("cluster", func(t *testing.T) { test(t, rig.Connect(t, redistest.StartCluster(t, 3).URL()), rig.ClusterKeys) })
}

func record(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) map[string]string {
	t.Helper()
	fields, err := client.HGetAll(t.Context(), keys.Log().Record()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func values(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, partitions int) []string {
	t.Helper()
	var all []string
	for p := range partitions {
		value, err := client.Get(t.Context(), keys.Log().ID(p)).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			t.Fatal(err)
		}
		all = append(all, value)
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOpen_RestoresTheRecord deletes or changes cc:log of intact logs.
func TestOpen_RestoresTheRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, client goredis.UniversalClient, newKeys func(t *testing.T) keyspace.Keys) {
		for _, known := range []int{2, 3} {
			keys := newKeys(t)
			log := opened(t, client, keys, known)
			rig.Appended(t, log, rig.Created("c"))
			want := record(t, client, keys)
			for name, lose := range map[string]func() error{
				"lost":        func() error { return client.Del(t.Context(), keys.Log().Record()).Err() },
				"another log": func() error { return client.HSet(t.Context(), keys.Log().Record(), "log_id", "another").Err() },
				"another log that is being made": func() error {
					return client.HSet(t.Context(), keys.Log().Record(), "log_id", "another", "ready", "0").Err()
				},
				"another level": func() error {
					return client.HSet(t.Context(), keys.Log().Record(), "level", "1", "names", "Stream=x").Err()
				},
			} {
				must(t, lose())
				if again := opened(t, client, keys, known); again.ID() != log.ID() || again.Level() != known {
					t.Errorf("level %d, %s: the log is %s at level %d", known, name, again.ID(), again.Level())
				}
				if now := record(t, client, keys); !maps.Equal(now, want) {
					t.Errorf("level %d, %s: the record is %v, not %v", known, name, now, want)
				}
				rig.Appended(t, log, rig.Sent("c", domain.MessageID(name[:4]+fmt.Sprint(len(name)))))
			}
		}
	})
}

// TestOpen_GuessesNoPartitions deletes cc:log of a log at level 1, whose partitions do not contain their number.
func TestOpen_GuessesNoPartitions(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys := rig.NewKeys(t, 16)
	log := opened(t, client, keys, 1)
	rig.Appended(t, log, rig.Created("c"))
	must(t, client.Del(t.Context(), keys.Log().Record()).Err())
	for _, partitions := range []int{2, 4, 16, 32} {
		if _, err := opening(t.Context(), client, keyspace.Names{}.UncheckedKeys(keys.Prefix(), partitions, keys.Cluster()), 0); !errors.Is(err, ports.ErrLogLost) {
			t.Errorf("%d partitions: %v", partitions, err)
		}
	}
	if _, err := eventlog.Upgrade(t.Context(), client, keyspace.Names{}.UncheckedKeys(keys.Prefix(), 32, keys.Cluster()), eventlog.UpgradeConfig{}); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("an upgrade with a wrong number: %v", err)
	}
	if _, err := eventlog.Upgrade(t.Context(), client, keys, eventlog.UpgradeConfig{}); err != nil {
		t.Fatal(err)
	}
	if again := opened(t, client, keys, 0); again.ID() != log.ID() {
		t.Errorf("the log is %s", again.ID())
	}
}

// TestOpen_NamesPartitionsThatAreApart opens logs with partitions that are missing or belong to another log. Nothing may be written.
func TestOpen_NamesPartitionsThatAreApart(t *testing.T) {
	onBoth(t, func(t *testing.T, client goredis.UniversalClient, newKeys func(t *testing.T) keyspace.Keys) {
		for name, damage := range map[string]struct {
			do   func(keys keyspace.Keys) error
			want eventlog.PartitionsError
		}{
			"one is missing": {func(k keyspace.Keys) error { return client.Del(t.Context(), k.Log().ID(3)).Err() }, eventlog.PartitionsError{Missing: []int{3}}},
			"one is another": {func(k keyspace.Keys) error { return client.Set(t.Context(), k.Log().ID(4), "another", 0).Err() }, eventlog.PartitionsError{Foreign: map[int]string{4: "another"}}},
			"one is no id":   {func(k keyspace.Keys) error { return client.Set(t.Context(), k.Log().ID(5), "x;y", 0).Err() }, eventlog.PartitionsError{Foreign: map[int]string{5: "x;y"}}},
			"all are missing": {func(k keyspace.Keys) error {
				for p := range keyspace.DefaultPartitions {
					if err := client.Del(t.Context(), k.Log().ID(p)).Err(); err != nil {
						return err
					}
				}
				return nil
			}, eventlog.PartitionsError{Missing: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}},
			"one is a list": {func(k keyspace.Keys) error {
				return errors.Join(client.Del(t.Context(), k.Log().ID(6)).Err(), client.RPush(t.Context(), k.Log().ID(6), "x").Err())
			}, eventlog.PartitionsError{Foreign: map[int]string{6: ";another type"}}},
		} {
			for _, recorded := range []string{"well", "not", "as another, which is being made"} {
				if recorded != "well" && name == "all are missing" {
					continue // no partition of that log is left
				}
				keys := newKeys(t)
				log := opened(t, client, keys, 0)
				must(t, damage.do(keys))
				switch recorded {
				case "not":
					must(t, client.Del(t.Context(), keys.Log().Record()).Err())
				case "as another, which is being made":
					must(t, client.HSet(t.Context(), keys.Log().Record(), "log_id", "another", "ready", "0").Err())
				}
				before := record(t, client, keys)
				_, err := opening(t.Context(), client, keys, 0)
				apart, ok := errors.AsType[*eventlog.PartitionsError](err)
				if !ok || !errors.Is(err, ports.ErrLogLost) {
					t.Fatalf("%s, recorded %s: %v", name, recorded, err)
				}
				if apart.Log != log.ID() || !slices.Equal(apart.Missing, damage.want.Missing) || len(apart.Foreign) != len(damage.want.Foreign) {
					t.Errorf("%s, recorded %s: %+v", name, recorded, apart)
				}
				for p, value := range damage.want.Foreign {
					if apart.Foreign[p] != value || !strings.Contains(err.Error(), fmt.Sprintf("partition %d", p)) {
						t.Errorf("%s, recorded %s: %v", name, recorded, err)
					}
				}
				for _, p := range damage.want.Missing {
					if n := client.Exists(t.Context(), keys.Log().ID(p)).Val(); n > 0 {
						t.Errorf("%s, recorded %s: partition %d was given an id", name, recorded, p)
					}
				}
				if !strings.Contains(err.Error(), "core fsck") || !maps.Equal(before, record(t, client, keys)) {
					t.Errorf("%s, recorded %s: %v; the record is %v", name, recorded, err, record(t, client, keys))
				}
			}
		}
	})
}

// TestOpen_MakesNoSecondLog deletes cc:log and opens with other settings than the log's.
func TestOpen_MakesNoSecondLog(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	for _, made := range []int{1, 4, 16, 100} {
		for _, known := range []int{1, 2} {
			base := rig.NewKeys(t, made)
			opened(t, client, base, known)
			must(t, client.Del(t.Context(), base.Log().Record()).Err())
			for _, partitions := range []int{1, 2, 16, 64, 1000} {
				for _, names := range []keyspace.Names{{}, {Stream: "events"}} {
					keys := names.UncheckedKeys(base.Prefix(), partitions, base.Cluster())
					if partitions == made && (names.Stream == "" || known == 1 && made > 1) {
						continue
					}
					if _, err := opening(t.Context(), client, keys, known); !errors.Is(err, ports.ErrLogLost) && !errors.Is(err, ports.ErrLogDiffers) {
						t.Errorf("a log of %d partitions at level %d, opened with %d and %q: %v", made, known, partitions, names.Stream, err)
					}
					if len(record(t, client, keys)) > 0 {
						t.Fatalf("a log of %d partitions at level %d, opened with %d: a new one was made", made, known, partitions)
					}
				}
			}
		}
	}
}

// TestOpen_AtOnce has many processes open a log that is new, half created, or without cc:log.
func TestOpen_AtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, client goredis.UniversalClient, newKeys func(t *testing.T) keyspace.Keys) {
		for name, begin := range map[string]func(keys keyspace.Keys){
			"new": func(keyspace.Keys) {},
			"half made": func(keys keyspace.Keys) {
				opened(t, client, keys, 0)
				must(t, client.HSet(t.Context(), keys.Log().Record(), "ready", "0").Err())
				for p := 5; p < keyspace.DefaultPartitions; p++ {
					must(t, client.Del(t.Context(), keys.Log().ID(p)).Err())
				}
			},
			"without its record": func(keys keyspace.Keys) {
				opened(t, client, keys, 0)
				must(t, client.Del(t.Context(), keys.Log().Record()).Err())
			},
		} {
			keys := newKeys(t)
			begin(keys)
			var wait sync.WaitGroup
			ids := make([]string, 16)
			for n := range ids {
				wait.Go(func() {
					log, err := opening(t.Context(), client, keys, 0)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					ids[n] = log.ID()
				})
			}
			wait.Wait()
			if len(slices.Compact(ids)) != 1 {
				t.Errorf("%s: the logs are %q", name, ids)
			}
			if now := record(t, client, keys); now["ready"] != "1" || now["log_id"] != ids[0] {
				t.Errorf("%s: the record is %v", name, now)
			}
		}
	})
}

// TestOpen_ComparesNames opens a log with each name changed.
func TestOpen_ComparesNames(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	base := rig.NewKeys(t, 4)
	opened(t, client, base, 0)
	opened(t, client, keyspace.Names{}.WithDefaults().UncheckedKeys(base.Prefix(), 4, base.Cluster()), 0)
	opened(t, client, keyspace.Names{Session: "session:", Channels: map[string]string{"message:new": "message:new"}}.UncheckedKeys(base.Prefix(), 4, base.Cluster()), 0)
	for _, name := range []string{
		"Stream", "Session", "UserStatus", "UserOnline", "ChatList", "ChatUnread", "Message", "ContactList", "Typing", "Presence", "RateLimit",
		"Channels/message:new", "Channels/typing:start",
	} {
		names, err := keyspace.Names{}.With(name, "other.name")
		must(t, err)
		_, err = opening(t.Context(), client, names.UncheckedKeys(base.Prefix(), 4, base.Cluster()), 0)
		differs, ok := errors.AsType[*ports.LogDiffersError](err)
		if !ok || differs.Setting != "Redis.Names."+name || differs.Stored != "the default" || differs.Configured != `"other.name"` {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With one partition the stream's name is part of every key.
	single := rig.NewKeys(t, 1)
	opened(t, client, single, 0)
	if _, err := opening(t.Context(), client, keyspace.Names{Stream: "events"}.UncheckedKeys(single.Prefix(), 1, single.Cluster()), 0); !errors.Is(err, ports.ErrLogDiffers) {
		t.Errorf("another stream of one partition: %v", err)
	}
}

// everyCall makes each call of a log that checks its identity.
func everyCall(ctx context.Context, log *eventlog.Log) map[string]error {
	results := make(map[string]error)
	_, results["append"] = log.Append(ctx, rig.Created("new"))
	_, results["append batch"] = log.AppendBatch(ctx, []ports.Append{rig.Created("new2"), rig.Created("new3")})
	_, results["load"] = log.Load(ctx, "c", ports.LoadRequest{Entity: domain.ChatEntity()})
	_, results["read"] = log.Read(ctx, "c", ports.Range{Limit: 1})
	results["keep"] = log.SaveSnapshot(ctx, "c", domain.ChatEntity(), 1, &domain.Chat{ID: "c"})
	results["probe"] = log.Probe(ctx)
	p := 0
	for heads := []ports.ChatHead(nil); len(heads) == 0 && p < keyspace.DefaultPartitions; p++ {
		heads, _, _, _ = log.ListHeads(ctx, p, 0)
	}
	_, _, results["encoded"] = log.ReadRaw(ctx, p-1, "", []ports.EventRange{{Chat: "c", From: 1, Limit: 1}})
	return results
}

// TestLevels_TwoBuilds runs an older and a newer build on one log while its level is raised.
func TestLevels_TwoBuilds(t *testing.T) {
	onBoth(t, func(t *testing.T, client goredis.UniversalClient, newKeys func(t *testing.T) keyspace.Keys) {
		for _, level := range []int{1, 2} { // level of the log; the older build knows no higher one
			keys := newKeys(t)
			older, newer := opened(t, client, keys, level), opened(t, client, keys, level+1)
			rig.Appended(t, older, rig.Created("c"))
			rig.Appended(t, newer, rig.Sent("c", "m1"))
			if newer.Level() != level {
				t.Fatalf("the newer build is at level %d", newer.Level())
			}
			steps, err := eventlog.UpgradeBy(t.Context(), client, keys, eventlog.UpgradeConfig{}, level+1)
			if err != nil || len(steps) != keyspace.DefaultPartitions || steps[0] != (eventlog.UpgradeStep{Partition: 0, From: level, To: level + 1}) {
				t.Fatalf("%v, %v", steps, err)
			}
			raised := values(t, client, keys, keyspace.DefaultPartitions)

			for call, err := range everyCall(t.Context(), older) {
				var wrong *ports.LogLevelError
				if !errors.Is(err, ports.ErrNewerLog) || errors.Is(err, ports.ErrLogLost) || !errors.As(err, &wrong) || *wrong != (ports.LogLevelError{Log: older.ID(), Level: level + 1, Known: level}) {
					t.Errorf("level %d, %s of the older build: %v", level, call, err)
				}
			}
			_, err = opening(t.Context(), client, keys, level)
			want := fmt.Sprintf("the log is at level %d, this program knows up to %d; upgrade it", level+1, level)
			if !errors.Is(err, ports.ErrNewerLog) || !strings.Contains(err.Error(), want) {
				t.Errorf("level %d: opening with the older build: %v", level, err)
			}

			for call, err := range everyCall(t.Context(), newer) {
				if err != nil {
					t.Errorf("level %d, %s of the newer build: %v", level, call, err)
				}
			}
			if newer.Level() != level+1 || newer.ID() != older.ID() {
				t.Errorf("level %d: the newer build is on log %s at level %d", level, newer.ID(), newer.Level())
			}
			if page, err := newer.Read(t.Context(), "c", ports.Range{Limit: 10}); err != nil || page.Head != 2 {
				t.Errorf("level %d: %d events, %v", level, page.Head, err)
			}
			if steps, err = eventlog.UpgradeBy(t.Context(), client, keys, eventlog.UpgradeConfig{}, level+1); err != nil || len(steps) > 0 {
				t.Errorf("level %d, upgraded again: %v, %v", level, steps, err)
			}
			if again := values(t, client, keys, keyspace.DefaultPartitions); !slices.Equal(raised, again) {
				t.Errorf("level %d: %q became %q", level, raised, again)
			}
		}
	})
}

// TestUpgrade_GoesOnWhereItWasInterrupted upgrades a log of which some partitions are upgraded already, while builds use it.
func TestUpgrade_GoesOnWhereItWasInterrupted(t *testing.T) {
	client := rig.Connect(t, redistest.StartCluster(t, 3).URL())
	keys := rig.ClusterKeys(t)
	log := opened(t, client, keys, 3) // created at level 3
	id := log.ID()
	for p := range keyspace.DefaultPartitions { // partitions 0 and 7 are upgraded
		if p != 0 && p != 7 {
			must(t, client.Set(t.Context(), keys.Log().ID(p), id+";2;16;fnv1a-64;", 0).Err())
		}
	}
	log = opened(t, client, keys, 3)
	if lowest, highest := log.Levels(); lowest != 2 || highest != 3 {
		t.Errorf("the levels are %d to %d", lowest, highest)
	}
	for n := range 64 { // in every partition
		rig.Appended(t, log, rig.Created(domain.ChatID(fmt.Sprint("c", n))))
	}
	info, err := eventlog.Find(t.Context(), client, keys)
	if err != nil || info.ID != id || info.Level != 2 || info.Highest != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := opening(t.Context(), client, keys, 2); !errors.Is(err, ports.ErrNewerLog) {
		t.Errorf("opening with the older build: %v", err)
	}
	steps, err := eventlog.UpgradeBy(t.Context(), client, keys, eventlog.UpgradeConfig{To: 3}, 3)
	if err != nil || len(steps) != 14 {
		t.Errorf("%v, %v", steps, err)
	}
	for n := range 64 {
		rig.Appended(t, log, rig.Sent(domain.ChatID(fmt.Sprint("c", n)), "m"))
	}
	if log.Level() != 3 || record(t, client, keys)["level"] != "3" {
		t.Errorf("level %d, %v", log.Level(), record(t, client, keys))
	}
}

// TestUpgrade_Online raises the level under concurrent appends: none fails, and none is applied twice.
func TestUpgrade_Online(t *testing.T) {
	onBoth(t, func(t *testing.T, client goredis.UniversalClient, newKeys func(t *testing.T) keyspace.Keys) {
		keys := newKeys(t)
		opened(t, client, keys, 2)
		log := opened(t, client, keys, 4)
		const callers, sends = 8, 60
		var wait sync.WaitGroup
		half := make(chan struct{}, callers)
		for n := range callers {
			wait.Go(func() {
				chat := domain.ChatID(fmt.Sprint("c", n))
				if _, err := log.Append(t.Context(), rig.Created(chat)); err != nil {
					t.Error(err)
				}
				for i := range sends {
					if i == sends/3 {
						half <- struct{}{}
					}
					if _, err := log.Append(t.Context(), rig.Sent(chat, domain.MessageID(fmt.Sprint("m", i)))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		<-half
		for _, to := range []int{3, 4} {
			if _, err := eventlog.UpgradeBy(t.Context(), client, keys, eventlog.UpgradeConfig{To: to}, 4); err != nil {
				t.Error(err)
			}
		}
		wait.Wait()
		for n := range callers {
			page, err := log.Read(t.Context(), domain.ChatID(fmt.Sprint("c", n)), ports.Range{Limit: 1000})
			if err != nil || len(page.Records) != sends+1 {
				t.Errorf("%d events, %v", len(page.Records), err)
			}
		}
		if err := log.Probe(t.Context()); err != nil || log.Level() != 4 {
			t.Errorf("level %d, %v", log.Level(), err)
		}
	})
}

// TestUpgrade_Names changes names: programs with the old ones are refused.
func TestUpgrade_Names(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys := rig.NewKeys(t, 4)
	log := opened(t, client, keys, 0)
	rig.Appended(t, log, rig.Created("c"))
	rename := eventlog.UpgradeConfig{Names: map[string]string{"Session": "s:", "Channels/message:new": "new"}}
	dry := rename
	dry.DryRun = true
	before := values(t, client, keys, 4)
	steps, err := eventlog.Upgrade(t.Context(), client, keys, dry)
	if err != nil || len(steps) != 4 || !steps[0].Renamed || !slices.Equal(before, values(t, client, keys, 4)) {
		t.Fatalf("a dry run: %v, %v", steps, err)
	}
	if _, err := eventlog.Upgrade(t.Context(), client, keys, rename); err != nil {
		t.Fatal(err)
	}
	for call, err := range everyCall(t.Context(), log) {
		if !errors.Is(err, ports.ErrLogDiffers) {
			t.Errorf("%s with the old names: %v", call, err)
		}
	}
	if _, err := opening(t.Context(), client, keys, 0); !errors.Is(err, ports.ErrLogDiffers) {
		t.Errorf("opening with the old names: %v", err)
	}
	info, err := eventlog.Find(t.Context(), client, keys)
	if err != nil || info.Names.Session != "s:" || info.Names.Channels["message:new"] != "new" || info.Partitions != 4 {
		t.Fatalf("%+v, %v", info, err)
	}
	other := keyspace.Names{Session: "s:", Channels: map[string]string{"message:new": "new"}}.UncheckedKeys(keys.Prefix(), 4, keys.Cluster())
	rig.Appended(t, opened(t, client, other, 0), rig.Sent("c", "m"))
	// Upgrade needs only the right namespace.
	if _, err := eventlog.Upgrade(t.Context(), client, keyspace.Names{Typing: "t:"}.UncheckedKeys(keys.Prefix(), 64, keys.Cluster()), eventlog.UpgradeConfig{Names: map[string]string{"Session": "", "Channels/message:new": ""}}); err != nil {
		t.Fatal(err)
	}
	opened(t, client, keys, 0)
}

// TestUpgrade_Refuses uses invalid settings.
func TestUpgrade_Refuses(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	keys, single, none := rig.NewKeys(t, 4), rig.NewKeys(t, 1), rig.NewKeys(t, 4)
	opened(t, client, keys, 0)
	opened(t, client, single, 0)
	for name, c := range map[string]struct {
		keys   keyspace.Keys
		config eventlog.UpgradeConfig
	}{
		"a lower level":               {keys, eventlog.UpgradeConfig{To: 1}},
		"a level above all":           {keys, eventlog.UpgradeConfig{To: eventlog.Level + 1}},
		"a name that there is not":    {keys, eventlog.UpgradeConfig{Names: map[string]string{"Sessions": "s:"}}},
		"a name that cannot be":       {keys, eventlog.UpgradeConfig{Names: map[string]string{"Session": "a b"}}},
		"a name of another":           {keys, eventlog.UpgradeConfig{Names: map[string]string{"Session": "typing:"}}},
		"a channel of no type":        {keys, eventlog.UpgradeConfig{Names: map[string]string{"Channels/none": "x"}}},
		"the stream of one partition": {single, eventlog.UpgradeConfig{Names: map[string]string{"Stream": "events"}}},
		"no log":                      {none, eventlog.UpgradeConfig{}},
	} {
		before := values(t, client, c.keys, 1)
		if steps, err := eventlog.Upgrade(t.Context(), client, c.keys, c.config); !errors.Is(err, domain.ErrInvalid) || len(steps) > 0 {
			t.Errorf("%s: %v, %v", name, steps, err)
		}
		if !slices.Equal(before, values(t, client, c.keys, 1)) {
			t.Errorf("%s: something was written", name)
		}
	}
	must(t, client.Set(t.Context(), keys.Log().ID(1), "another", 0).Err())
	if _, err := eventlog.Upgrade(t.Context(), client, keys, eventlog.UpgradeConfig{}); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("a partition of another log: %v", err)
	}
}
