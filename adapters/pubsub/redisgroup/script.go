package redisgroup

import (
	_ "embed"

	goredis "github.com/redis/go-redis/v9"
)

var (
	//go:embed script/create.lua
	createSource string
	//go:embed script/seed_checkpoints.lua
	seedCheckpointsSource string
	//go:embed script/heartbeat.lua
	heartbeatSource string
	//go:embed script/acquire.lua
	acquireSource string
	//go:embed script/commit.lua
	commitSource string
	//go:embed script/release.lua
	releaseSource string
	//go:embed script/trim.lua
	trimSource string
	//go:embed script/erase.lua
	eraseSource string
	//go:embed script/resolve.lua
	resolveSource string
	//go:embed script/fsck_mark.lua
	fsckMarkSource string
	//go:embed script/rebuild.lua
	rebuildSource string
)

// scripts holds the Lua scripts, one for each kind of change of a group's state.
type scripts struct {
	create, seedCheckpoints, heartbeat, acquire, commit, release, trim, erase, resolve, rebuild, fsckMark *goredis.Script
}

func newScripts() scripts {
	return scripts{
		create:          goredis.NewScript(createSource),
		seedCheckpoints: goredis.NewScript(seedCheckpointsSource),
		heartbeat:       goredis.NewScript(heartbeatSource),
		acquire:         goredis.NewScript(acquireSource),
		commit:          goredis.NewScript(commitSource),
		release:         goredis.NewScript(releaseSource),
		trim:            goredis.NewScript(trimSource),
		erase:           goredis.NewScript(eraseSource),
		resolve:         goredis.NewScript(resolveSource),
		rebuild:         goredis.NewScript(rebuildSource),
		fsckMark:        goredis.NewScript(fsckMarkSource),
	}
}
