package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// configure sets a parameter of running servers.
func configure(t *testing.T, servers []*redistest.Server, parameter, value string) {
	for _, s := range servers {
		if err := s.Client(t).ConfigSet(context.WithoutCancel(t.Context()), parameter, value).Err(); err != nil {
			t.Errorf("%s: %s %q: %v", s.Addr(), parameter, value, err)
		}
	}
}

// awaitState waits until a server's INFO persistence has a line.
func awaitState(t *testing.T, s *redistest.Server, line string, meanwhile func()) {
	client := s.Client(t)
	wait.Until(t, s.Addr()+" says "+line, func() bool {
		meanwhile()
		info, err := client.Info(context.WithoutCancel(t.Context()), "persistence").Result()
		return err == nil && strings.Contains(info, line+"\r\n")
	})
}

// onLimits switches eviction on until a writer is refused, and has memory run out.
func onLimits(t *testing.T, w *writers, servers func() []*redistest.Server) []attack {
	return []attack{
		{"switch eviction on", func(d dice) (string, func()) {
			chosen := servers()
			before := w.refusedForEviction()
			configure(t, chosen, "maxmemory-policy", "allkeys-lru")
			wait.Until(t, "a writer is refused because of eviction", func() bool { return w.refusedForEviction() > before })
			d.between(0, time.Second)
			configure(t, chosen, "maxmemory-policy", "noeviction")
			return "", nil
		}},
		{"fill memory", func(d dice) (string, func()) {
			chosen := servers()
			configure(t, chosen, "maxmemory", "1")
			d.between(500*time.Millisecond, lease)
			configure(t, chosen, "maxmemory", "0")
			return "", nil
		}},
	}
}

const fillDiskAndExit = "fill disk and exit"

// onLogDisk fills the disk of a server with an append-only file: it refuses writes, or exits as it does under appendfsync always.
func onLogDisk(t *testing.T, s *redistest.Server) []attack {
	one := []*redistest.Server{s}
	none := func() {}
	return []attack{
		{"fill disk", func(d dice) (string, func()) {
			configure(t, one, "appendfsync", "everysec")
			s.LimitFiles(t, 1)
			awaitState(t, s, "aof_last_write_status:err", none)
			d.between(500*time.Millisecond, lease)
			s.LimitFiles(t, redistest.NoLimit)
			awaitState(t, s, "aof_last_write_status:ok", none)
			configure(t, one, "appendfsync", "always")
			return "", nil
		}},
		{fillDiskAndExit, func(d dice) (string, func()) {
			s.LimitFiles(t, 1)
			d.between(500*time.Millisecond, lease)
			s.Restart(t)
			return "", nil
		}},
	}
}

// onSnapshotDisk fills the disk of a server that saves snapshots: it refuses writes.
func onSnapshotDisk(t *testing.T, servers func() []*redistest.Server) attack {
	const room = 4096 // for nodes.conf
	return attack{"fill disk", func(d dice) (string, func()) {
		all := servers()
		s := all[d.IntN(len(all))]
		one := []*redistest.Server{s}
		save := func() { _ = s.Client(t).BgSave(context.WithoutCancel(t.Context())).Err() } // one may be under way
		configure(t, one, "save", "3600 1000000")
		s.LimitFiles(t, room)
		awaitState(t, s, "rdb_last_bgsave_status:err", save)
		d.between(500*time.Millisecond, lease)
		s.LimitFiles(t, redistest.NoLimit)
		awaitState(t, s, "rdb_last_bgsave_status:ok", save)
		configure(t, one, "save", "")
		return s.Addr(), nil
	}}
}
