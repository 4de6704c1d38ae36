package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// memoryPercent is the part of a container's memory that the Go runtime may use. The rest is for the program itself and for buffers of the kernel.
const memoryPercent = 90

// limitMemory sets the soft limit of the Go runtime to memoryPercent of the memory of the process's container: the collector then runs more often instead
// of letting the kernel end the process. The runtime counts reserve bytes of the heap that take no memory; limitMemory adds them to the limit. It returns
// the limit without reserve in bytes, and a function that sets the limit before. It returns 0, and changes nothing, if the user has set GOMEMLIMIT or the
// container has no limit. root is the root of the file system.
func limitMemory(root fs.FS, reserve int) (limit int64, restore func()) {
	memory := containerMemory(root)
	if memory == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return 0, func() {}
	}
	limit = memory / 100 * memoryPercent
	before := debug.SetMemoryLimit(limit + int64(reserve))
	return limit, func() { debug.SetMemoryLimit(before) }
}

// containerMemory returns the least memory limit among the control groups of the process and their parents, in bytes. It returns 0 if none has a limit, or
// if this system has no control groups.
func containerMemory(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) { // ID:CONTROLLERS:PATH
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		switch group := fields[2]; {
		case fields[1] == "": // version 2, alone or beside version 1
			least = min(least, groupMemory(root, "sys/fs/cgroup", group, "memory.max"), groupMemory(root, "sys/fs/cgroup/unified", group, "memory.max"))
		case slices.Contains(strings.Split(fields[1], ","), "memory"): // version 1
			least = min(least, groupMemory(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	if least > math.MaxInt64/2 { // version 1 has the largest number of pages for no limit
		return 0
	}
	return least
}

// groupMemory returns the least limit that a control group and its parents have in their files of a name. A container may not see the directories that
// its own path names, but sees its group as the root.
func groupMemory(root fs.FS, mount, group, file string) int64 {
	least := int64(math.MaxInt64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join(mount, group, file))
		if err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // not "max"
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
