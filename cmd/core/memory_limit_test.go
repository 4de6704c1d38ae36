package main

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// files are those of a system with control groups.
func files(contents map[string]string) fstest.MapFS {
	root := make(fstest.MapFS)
	for name, text := range contents {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestContainerMemory(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no control groups": {},
		"version 2, in a namespace": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 * mib,
		},
		"version 2, without a limit": {
			map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0,
		},
		"version 2, the least of the parents": {
			map[string]string{
				"proc/self/cgroup": "0::/pod/a/b\n", "sys/fs/cgroup/pod/a/b/memory.max": "max\n", "sys/fs/cgroup/pod/a/memory.max": "2097152\n",
				"sys/fs/cgroup/pod/memory.max": "1048576\n",
			}, mib,
		},
		"version 2, outside the namespace": {
			map[string]string{"proc/self/cgroup": "0::/../pod\n", "sys/fs/cgroup/memory.max": "1048576\n"}, mib,
		},
		"version 1": {
			map[string]string{
				"proc/self/cgroup": "9:name=systemd:/x\n4:cpu,memory:/docker/x\n", "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "1048576\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			}, mib,
		},
		"version 1, without a limit": {
			map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0,
		},
		"version 1, the path of the host": {
			map[string]string{"proc/self/cgroup": "4:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n"}, mib,
		},
		"both versions": {
			map[string]string{
				"proc/self/cgroup": "4:memory:/a\n0::/b\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2097152\n",
				"sys/fs/cgroup/unified/b/memory.max": "1048576\n",
			}, mib,
		},
		"another controller": {
			map[string]string{"proc/self/cgroup": "4:cpu:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1048576\n"}, 0,
		},
		"damaged files": {
			map[string]string{"proc/self/cgroup": "0::/\n0\n\n", "sys/fs/cgroup/memory.max": "-1 MiB"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerMemory(files(c.files)); got != c.want {
				t.Errorf("%d bytes, want %d", got, c.want)
			}
		})
	}
}

// TestLimitMemory sets the limit of the runtime to 90 % of the container's memory and the reserve, and sets the one before in the end.
func TestLimitMemory(t *testing.T) {
	const memory, reserve, off = 1 << 40, 1 << 20, math.MaxInt64
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(off))
	limited := files(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1099511627776\n"})
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	t.Setenv("GOMEMLIMIT", "")
	got, restore := limitMemory(limited, reserve)
	if want := int64(memory / 100 * 90); got != want || limit() != want+reserve {
		t.Errorf("the limit is %d, that of the runtime %d; want %d and the reserve", got, limit(), want)
	}
	if restore(); limit() != off {
		t.Errorf("the limit is %d in the end", limit())
	}
	if got, restore = limitMemory(files(nil), reserve); got != 0 || limit() != off {
		t.Errorf("without a container the limit is %d, that of the runtime %d", got, limit())
	}
	restore()
	t.Setenv("GOMEMLIMIT", "1GiB")
	if got, restore = limitMemory(limited, reserve); got != 0 || limit() != off {
		t.Errorf("with GOMEMLIMIT the limit is %d, that of the runtime %d", got, limit())
	}
	restore()
}
